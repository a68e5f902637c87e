"""Client sides of a login, each written by others: pyspnego, impacket, Samba. What the login tests are run with."""

import asyncio
import shutil
import subprocess
from base64 import b64decode, b64encode
from typing import Any, Protocol

import pytest
import spnego
from impacket import ntlm as impacket_ntlm
from impacket.spnego import SPNEGO_NegTokenInit, SPNEGO_NegTokenResp, TypesMech

from server.security.auth import Acceptor, Exchange, Outcome
from server.security.ntlm import Names, Ntlm
from server.security.throttle import Throttle
from server.security.users import User, Users, nt_hash

NAMES = Names("SERVER", "GROUP", "server.lan", "lan")
NOW = 1_700_000_000.25
NTLM_IN_IMPACKET = TypesMech["NTLMSSP - Microsoft NTLM Security Support Provider"]


class Sleeps(list[float]):
    """A sleep that only writes down how long."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


def mechanism(**options: Any) -> Ntlm:
    users = Users([User("Alice", nt_hash("secret")), User("bob", nt_hash("p\u00e4ssw\u00f6rd \U0001f600"))])
    options.setdefault("throttle", Throttle(lambda: 0.0, Sleeps()))
    return Ntlm(users, NAMES, clock=lambda: NOW, **options)


def acceptor(**options: Any) -> Acceptor:
    return Acceptor([mechanism(**options)])


def step(exchange: Exchange, token: bytes) -> tuple[bytes, Outcome | None]:
    return asyncio.run(exchange.step(token))


class Client(Protocol):
    def step(self, token: bytes | None) -> bytes:
        """The client's next token; the first for None, b"" where it has no more to say."""

    @property
    def key(self) -> bytes: ...


class Pyspnego:
    """`protocol` is ntlm (bare) or negotiate (SPNEGO, with mechListMIC)."""

    def __init__(self, protocol: str, user: str, password: str) -> None:
        self.context = spnego.client(user, password, hostname="server", service="cifs", protocol=protocol)

    def step(self, token: bytes | None) -> bytes:
        return self.context.step(token) or b""

    @property
    def key(self) -> bytes:
        return self.context.session_key


class Impacket:
    """SPNEGO without mechListMIC and NTLM without MIC, as impacket's SMB client does it."""

    def __init__(self, user: str, password: str, v2: bool = True, sign: bool = True) -> None:
        self.user, self.password, self.v2 = user, password, v2
        self.first = impacket_ntlm.getNTLMSSPType1("", "", sign, use_ntlmv2=v2)
        self.key = b""

    def step(self, token: bytes | None) -> bytes:
        if token is None:
            init = SPNEGO_NegTokenInit()
            init["MechTypes"] = [NTLM_IN_IMPACKET]
            init["MechToken"] = self.first.getData()
            return bytes(init.getData())
        response = SPNEGO_NegTokenResp(token)
        if "ResponseToken" not in response.fields or not response["ResponseToken"]:
            return b""
        last, self.key = impacket_ntlm.getNTLMSSPType3(
            self.first, response["ResponseToken"], self.user, self.password, "DOMAIN", use_ntlmv2=self.v2
        )
        answer = SPNEGO_NegTokenResp()
        answer["ResponseToken"] = last.getData()
        return bytes(answer.getData())


class Samba:
    """Samba's ntlm_auth; `protocol` is ntlmssp-client-1 (bare) or gss-spnego-client.

    Without `sign` it asks for a session key only, as smbclient does where signing is not required."""

    def __init__(self, protocol: str, user: str, password: str, sign: bool = False) -> None:
        program = shutil.which("ntlm_auth")
        if program is None:
            pytest.skip("ntlm_auth is not installed (Debian: winbind)")
        command = [program, f"--helper-protocol={protocol}", f"--username={user}", "--domain=DOMAIN"]
        self.process = subprocess.Popen(
            [*command, f"--password={password}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.ask("SF NTLMSSP_FEATURE_SESSION_KEY") == "OK"
        assert not sign or self.ask("SF NTLMSSP_FEATURE_SIGN") == "OK"

    def ask(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def step(self, token: bytes | None) -> bytes:
        answer = self.ask("YR" if token is None else f"TT {b64encode(token).decode()}")
        verdict, _, encoded = answer.partition(" ")
        assert verdict in ("YR", "KK", "AF"), answer
        return b64decode(encoded)

    @property
    def key(self) -> bytes:
        """Of use once; ntlm_auth ends with it."""
        key = b64decode(self.ask("GK").partition(" ")[2])
        self.process.communicate()
        return key

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.communicate()


def log_in(server: Acceptor, client: Client, peer: str = "192.0.2.1") -> Outcome:
    """Run the whole exchange; raises what the server raises."""
    exchange = server.start(peer)
    token = client.step(None)
    for _ in range(5):
        answer, outcome = step(exchange, token)
        if outcome is not None:
            if answer:
                assert not client.step(answer), "the client has more to say"
            return outcome
        token = client.step(answer)
    raise AssertionError("the login does not end")
