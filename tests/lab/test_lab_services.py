"""Real services, unchanged, over several sites: what the lab file can say is enough for them."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
from blackstart_lab import api
from blackstart_lab.state import LabState

from .conftest import Labs, eventually

pytestmark = pytest.mark.lab

DEMO = Path(__file__).parents[2] / "deploy/demo"
POSTGRES = Path("/usr/lib/postgresql/15/bin")

PROXY = """
lab: NAME
sites: {front: {}, back: {}}
hosts:
  lb:
    site: front
    units:
      haproxy:
        command: [haproxy, -db, -f, /etc/haproxy/lab.cfg]
        ready: {tcp: 80}
        files:
          /etc/haproxy/lab.cfg: |
            defaults
              mode http
              timeout connect 500ms
              timeout client 5s
              timeout server 5s
              option redispatch
            listen web
              bind {{ host.address }}:80
              bind [{{ host.address6 }}]:80
              {% for name in ["w1", "w2"] %}
              server {{ name }} {{ hosts[name].address }}:80 check inter 200ms fall 2 rise 2
              {% endfor %}
  w1:
    site: back
    files: {/srv/www/index.html: "I am {{ host.name }}"}
    units:
      nginx: NGINX
  w2:
    site: back
    files: {/srv/www/index.html: "I am {{ host.name }}"}
    units:
      nginx: NGINX
""".replace(
    "NGINX",
    """
        command: [nginx, -c, /etc/nginx/lab.conf]
        ready: {tcp: 80}
        files:
          /etc/nginx/lab.conf: |
            daemon off;
            error_log stderr;
            events {}
            http {
              access_log off;
              server { listen 80; listen [::]:80; root /srv/www; }
            }
""",
)

DATABASE = f"""
lab: NAME
sites: {{pangyo: {{}}, busan: {{}}}}
hosts:
  pg1:
    site: pangyo
    units:
      postgres:
        user: postgres
        command: [sh, /etc/pg/start]
        ready: {{command: [sh, -c, "{POSTGRES}/pg_isready -h pg1"]}}
        files:
          /etc/pg/start: |
            set -e
            data=/var/lib/postgres/data
            if ! [ -e $data/PG_VERSION ]; then
              {POSTGRES}/initdb -D $data -A trust >/dev/null
              echo "host all,replication all samenet trust" >>$data/pg_hba.conf
              echo "host all,replication all 10.0.0.0/8 trust" >>$data/pg_hba.conf
            fi
            exec {POSTGRES}/postgres -D $data -h {{{{ host.address }}}} -k /tmp
  pg2:
    site: busan
    units:
      postgres:
        user: postgres
        command: [sh, /etc/pg/start]
        ready: {{command: [sh, -c, "{POSTGRES}/pg_isready -h pg2"]}}
        files:
          /etc/pg/start: |
            data=/var/lib/postgres/data
            if ! [ -e $data/PG_VERSION ]; then
              copy="{POSTGRES}/pg_basebackup -h {{{{ hosts.pg1.address }}}} -D $data -R -X stream"
              until $copy; do sleep 0.2; done
              chmod 700 $data
            fi
            exec {POSTGRES}/postgres -D $data -h {{{{ host.address }}}} -k /tmp
"""


def needs(*programs: str) -> None:
    missing = [name for name in programs if not shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; run: make packages, or apt-get install them")


def get(state: LabState, host: str, url: str) -> str:
    script = f"import urllib.request as u; print(u.urlopen('{url}', timeout=3).read().decode())"
    return api.run(state.name, host, ["/usr/bin/python3", "-c", script]).stdout.strip()


def lose_power(state: LabState, site: str) -> None:
    for host in state.hosts.values():
        if host.site == site:
            os.kill(host.pid, signal.SIGKILL)


def test_the_demo_comes_up_with_its_agents_and_survives_the_loss_of_pangyo_as_it_says(labs: Labs) -> None:
    needs("redis-server", "nats-server")
    for path in DEMO.iterdir():
        if path.is_file():
            shutil.copy(path, labs.directory)
    path = labs.write((DEMO / "lab.yaml").read_text().replace("lab: demo", "lab: NAME"))
    state = api.up(path)
    assert {name: host.agent for name, host in state.hosts.items() if host.agent != "up"} == {
        "control": "none"
    }
    assert "connected" in labs.sh(state, "control", "blackstart host list")
    assert "letters" in get(state, "mail", "http://mail:8080/inbox")
    lose_power(state, "pangyo")
    ask = "redis-cli -h m3 -p 26379 sentinel get-master-addr-by-name messenger"
    eventually(lambda: state.hosts["m1"].address4 not in labs.sh(state, "m3", ask), within_s=15)
    master = labs.sh(state, "m3", ask).split()[0]
    assert labs.sh(state, "m3", f"redis-cli -h {master} set x 1").strip() == "OK"
    assert get(state, "mail", "http://mail:8080/inbox") == ""
    publish = f"/usr/bin/python3 {labs.directory}/make_stream.py news 'news.>' --server n2:4222"
    command = ["sh", "-c", f"{publish} --publish news.x"]
    eventually(lambda: api.run(state.name, "n2", command).returncode == 0, within_s=20)


def test_a_proxy_in_one_site_serves_from_two_web_servers_in_another(labs: Labs) -> None:
    needs("haproxy", "nginx")
    state = labs.up(PROXY)
    both = {"I am w1", "I am w2"}  # once the proxy's own checks have passed twice
    eventually(lambda: {get(state, "lb", "http://lb/") for _ in range(4)} == both)
    os.kill(state.hosts["w1"].pid, signal.SIGKILL)
    eventually(lambda: {get(state, "w2", "http://lb/") for _ in range(3)} == {"I am w2"})


@pytest.mark.deep
def test_a_database_with_its_own_user_replicates_to_another_site(labs: Labs) -> None:
    if not POSTGRES.is_dir() or os.getuid():
        pytest.skip("needs root and the Debian package postgresql-15")
    state = labs.up(DATABASE)
    psql = f"{POSTGRES}/psql -U postgres -d postgres -At"
    labs.sh(state, "pg1", f"{psql} -h pg1 -c 'create table t (x int)' -c 'insert into t values (42)'")
    replica = f"{psql} -h pg2 -c 'select x from t' 2>/dev/null || true"
    eventually(lambda: labs.sh(state, "pg2", replica).strip() == "42")
    assert labs.sh(state, "pg1", "ps -C postgres -o user= | sort -u").strip() == "postgres"
