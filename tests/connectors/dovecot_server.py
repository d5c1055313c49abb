"""A real Dovecot with a configuration of its own in a folder of its own, for whoever runs the tests, root or not."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Self

USERNAME, PASSWORD = "rep", "correct horse"
FOLDER = "Maildir"

CONFIG = """
protocols = imap
listen = 127.0.0.1
base_dir = {home}/run
state_dir = {home}/run
log_path = {home}/dovecot.log
ssl = {ssl}
{certificate}
disable_plaintext_auth = no
auth_mechanisms = plain login
mail_location = maildir:~/Maildir
first_valid_uid = 1
default_login_user = {login_user}
default_internal_user = {internal_user}
default_internal_group = {internal_group}
default_vsz_limit = 0
mail_max_userip_connections = 50
imap_idle_notify_interval = 1 mins
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {home}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={home}/mail
}}
service anvil {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
  }}
}}
service stats {{
  chroot =
}}
"""


def why_not() -> str:
    """Why no Dovecot can be started here, "" when it can."""
    if _program("dovecot") is None or _program("doveadm") is None:
        return "dovecot is not installed (Debian: dovecot-imapd)"
    version = subprocess.run([_program("dovecot"), "--version"], capture_output=True, text=True, check=False).stdout
    return (
        "" if version.startswith("2.3.") else f"the configuration is written for dovecot 2.3, not for {version.strip()}"
    )


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class DovecotServer:
    """One account with its INBOX, in Maildir form: an email arrives by a rename, as delivery agents do it."""

    def __init__(self, *, ca_file: Path | None = None, key_file: Path | None = None) -> None:
        root = os.geteuid() == 0
        # Dovecot lets nobody in as root, and its processes must reach the folder.
        owner = pwd.getpwnam("nobody") if root else pwd.getpwuid(os.geteuid())
        self._home = Path(tempfile.mkdtemp(prefix="dovecot-"))
        self._home.chmod(0o755)
        self._owner = owner
        self.port, self.tls_port = _free_port(), _free_port()
        self._number = 0
        self._delivered = 0
        self._process: subprocess.Popen[bytes] | None = None
        names = ("dovenull", "dovecot", "dovecot") if root else (owner.pw_name, owner.pw_name, _group(owner.pw_gid))
        secured = ca_file is not None and key_file is not None
        text = CONFIG.format(
            home=self._home,
            ssl="yes" if secured else "no",
            certificate=f"ssl_cert = <{ca_file}\nssl_key = <{key_file}" if secured else "",
            login_user=names[0],
            internal_user=names[1],
            internal_group=names[2],
            uid=owner.pw_uid,
            gid=owner.pw_gid,
            port=self.port,
            tls_port=self.tls_port if secured else 0,
        )
        self._config = self._home / "dovecot.conf"
        self._config.write_text(text, encoding="utf-8")
        self._allow(PASSWORD)
        for folder in ("mail", "mail/Maildir", "mail/Maildir/new", "mail/Maildir/cur", "mail/Maildir/tmp"):
            (self._home / folder).mkdir()
            os.chown(self._home / folder, owner.pw_uid, owner.pw_gid)

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        shutil.rmtree(self._home, ignore_errors=True)

    @property
    def log(self) -> str:
        """What it said, for whoever wonders."""
        file = self._home / "dovecot.log"
        return file.read_text(encoding="utf-8") if file.exists() else ""

    def _allow(self, password: str) -> None:
        users = self._home / "users"
        users.write_text(f"{USERNAME}:{password}\n", encoding="utf-8")
        users.chmod(0o644)

    def _start(self) -> None:
        with (self._home / "stderr").open("wb") as stderr:
            self._process = subprocess.Popen(
                [_program("dovecot"), "-F", "-c", str(self._config)],
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
            )
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as sock:
                if sock.recv(4):
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.02)  # for a program that tells nobody when it is ready
        said = (self._home / "stderr").read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(f"dovecot does not start: {said}{self.log}")

    def deliver(self, raw: bytes) -> None:
        """An email arrives."""
        self._number += 1
        self._delivered += 1
        name = f"{1_700_000_000 + self._number}.M{self._number:06}P1.test"
        file = self._home / "mail/Maildir/tmp" / name
        file.write_bytes(raw)
        os.chown(file, self._owner.pw_uid, self._owner.pw_gid)
        file.rename(self._home / "mail/Maildir/new" / name)

    def renumber(self) -> None:
        """Lose the index and the list of UIDs, as a restore without them does."""
        self.stop()
        for file in (self._home / "mail/Maildir").glob("dovecot*"):
            file.unlink()
        uidlist = self._home / "mail/Maildir/dovecot-uidlist"
        names = sorted(
            file.name for folder in ("new", "cur") for file in (self._home / "mail/Maildir" / folder).iterdir()
        )
        lines = [f"3 V{int(time.time()) + 1000} N{len(names) + 1}", *(f"{n} :{m}" for n, m in enumerate(names, 1))]
        uidlist.write_text("\n".join(lines) + "\n", encoding="utf-8")
        os.chown(uidlist, self._owner.pw_uid, self._owner.pw_gid)
        self._start()

    def hang_up(self) -> None:
        """Cut every connection: the processes that serve them are ended."""
        self.stop()
        self._start()

    def stop(self) -> None:
        """End it with everything it started, at once: asked to end, it takes a second."""
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)

    def revoke(self) -> None:
        """Another password from now on."""
        self._allow("another")

    def is_untouched(self) -> bool:
        """Whether every email is there and none carries a flag (in Maildir: letters behind ":2,")."""
        files = [file.name for folder in ("new", "cur") for file in (self._home / "mail/Maildir" / folder).iterdir()]
        return len(files) == self._delivered and all(name.partition(":2,")[2] == "" for name in files)


def _group(gid: int) -> str:
    return grp.getgrgid(gid).gr_name
