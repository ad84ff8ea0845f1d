"""An https server on this machine, whose certificate the process trusts."""

from __future__ import annotations

import contextlib
import datetime
import functools
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from curation import web_files


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; `/short/…` breaks off, `/busy/…` is never ready, `/http/…` leads away."""

    def do_GET(self) -> None:
        first, _, rest = self.path.lstrip("/").partition("/")
        if first == "busy":
            self.send_error(503)
        elif first in ("http", "moved"):
            self.send_response(302)
            scheme = "http" if first == "http" else "https"
            self.send_header("Location", f"{scheme}://{self.headers['Host']}/{rest}")
            self.end_headers()
        elif first == "short":
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(bytes(10))
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(folder: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address at which the files of a folder are served."""
    certificate = write_certificate(scratch)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    web_files._opener.cache_clear()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder))
    )
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        web_files._opener.cache_clear()


def write_certificate(folder: Path) -> Path:
    """A file with a key and a certificate that it has signed itself, for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    encoding = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(private + certificate.public_bytes(encoding))
    return path
