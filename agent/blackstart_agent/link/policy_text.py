"""The policy.toml that a new host begins with."""

STARTER_POLICY = """\
# What may be done to this host, whoever asks. Enrolling as root was the consent; remove what you do not want.
# Without this file every fault is refused. A change counts from the next order on.

[allow]
# Kinds of faults, or patterns. Nothing else is ever done here.
faults = ["network.partition", "process.kill", "process.pause", "unit.stop", "host.blackout"]
# tethered: ends soon after the controller is lost.
# sealed: ends at its own deadline, even without a controller.
modes = ["tethered", "sealed"]
# No fault is held longer, in seconds, and no more are open at once.
max_hold_s = 600
max_faults = 4

[protect]
# Never stopped, killed, frozen or cut off. The agent itself and PID 1 are protected in any case.
units = ["ssh.service", "sshd.service", "systemd-*", "dbus.service"]
processes = ["sshd", "dbus-daemon"]
# These TCP and UDP ports stay open in every cut.
ports = [22]

# Commands that an experiment may run here as probes, by name; never with arguments from outside.
[probes.commands]
# check-login = ["/usr/local/bin/check-login", "--quick"]
"""
