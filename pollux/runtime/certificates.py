"""Certificates for what an installation encrypts itself: an authority of its own, and a server.

The authority's key is forgotten once it has signed: nobody can make another certificate that
clients would trust.
"""

import ipaddress
import socket
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pollux.runtime.broker_access import Certificates
from pollux.runtime.privacy import write_private

LASTS = timedelta(days=3650)
# Clocks of clients may be behind.
BEFORE = timedelta(days=1)
LOOPBACK = ("127.0.0.1", "::1")
AUTHORITY, SERVER = "Pollux authority of this installation", "Pollux broker"


def make_certificates(files: Certificates) -> None:
    """Makes an authority, a certificate of this machine and its key, all in PEM."""
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = (
        _begin(AUTHORITY, authority_key, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    names = [x509.DNSName(name) for name in dict.fromkeys(["localhost", socket.gethostname()])]
    addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in LOOPBACK]
    server = (
        _begin(SERVER, server_key, authority_key)
        .add_extension(x509.SubjectAlternativeName([*names, *addresses]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    key = server_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # Whoever finds the last of them finds all.
    write_private(files.key, key)
    write_private(files.server, server.public_bytes(Encoding.PEM))
    write_private(files.authority, authority.public_bytes(Encoding.PEM))


def _begin(
    name: str, key: ec.EllipticCurvePrivateKey, authority: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(AUTHORITY))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BEFORE)
        .not_valid_after(now + LASTS)
        .add_extension(identifier, critical=False)
        .add_extension(issuer, critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
