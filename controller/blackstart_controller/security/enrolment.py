"""A new host's way in: join token → certificate. `api/` posts what it received here."""

from __future__ import annotations

from blackstart_proto.v1 import agent_pb2

from blackstart_controller.errors import Unauthorised
from blackstart_controller.security.authority import Authority, Issued
from blackstart_controller.security.identity import check_host_name
from blackstart_controller.security.ports import HostRegistry
from blackstart_controller.security.secret import Secret
from blackstart_controller.security.tokens import Tokens


class Enrolment:
    """Gives certificates out: the first for a join token, later ones to hosts that hold one."""

    def __init__(self, authority: Authority, tokens: Tokens, registry: HostRegistry) -> None:
        self._authority = authority
        self._tokens = tokens
        self._registry = registry

    async def enrol(self, request: agent_pb2.EnrolRequest, *, agent_address: str) -> agent_pb2.EnrolReply:
        """Use the token up and return the host's first certificate.

        A name that is enrolled already can be taken over only with a token made for that very name.
        """
        host, token = check_host_name(request.host), Secret(request.token)
        stored = await self._tokens.check_join(token, host)
        if not stored.host and await self._registry.is_known(host):
            raise Unauthorised(
                f"host {host}: enrolled already; to replace it, make a token for it: "
                f"blackstart token create --host {host}"
            )
        issued = self._authority.sign_host_csr(request.csr_pem, host)  # a bad CSR must not use the token up
        await self._tokens.consume_join(token, host)
        await self._registry.host_enrolled(host, issued.serial, issued.expires_s)
        return agent_pb2.EnrolReply(
            certificate_pem=issued.certificate_pem,
            authority_pem=issued.authority_pem,
            agent_address=agent_address,
        )

    async def is_known(self, host: str) -> bool:
        return await self._registry.is_known(host)

    async def renew(self, host: str, csr_pem: bytes) -> Issued:
        """A new certificate for `host`, which has just proved by its present one that it is `host`."""
        issued = self._authority.sign_host_csr(csr_pem, host)
        await self._registry.host_enrolled(host, issued.serial, issued.expires_s)
        return issued
