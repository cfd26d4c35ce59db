"""Where an object lies in S3: every form in which a job may name it, parsed and never fetched."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

MAX_KEY_BYTES: Final = 1024
"""S3's limit on an object key, in UTF-8 bytes (Amazon S3 User Guide, "Object key names")."""

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_S3_HOST: Final = r"s3(?:[.-][a-z0-9.-]+)?\.amazonaws\.com(?:\.cn)?"
_PATH_HOST: Final = re.compile(_S3_HOST)
_VIRTUAL_HOST: Final = re.compile(rf"(?P<bucket>[a-z0-9][a-z0-9.-]{{1,61}}[a-z0-9])\.{_S3_HOST}")
_SCHEME: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://", re.IGNORECASE)

SIGNATURE_FIELDS: Final = r"X-Amz-[A-Z0-9-]+|AWSAccessKeyId|Signature|Policy|Key-Pair-Id"
"""Fields of a presigned URL's query: of S3, in both versions, and of CloudFront."""

_SIGNED: Final = re.compile(rf"\?(?=(?:[^?]*&)?(?:{SIGNATURE_FIELDS})=)", re.IGNORECASE)
"""Where a presigned URL's query begins, in a form that has no query of its own."""

_USERINFO: Final = re.compile(
    r"(?<=://)(?:[^/]*@|[^/@]*:[^@]*@)"  # a password may hold a slash, where a client did not care
)

MAX_SHOWN_CHARS: Final = 200
MAX_SCHEME_CHARS: Final = 20


class LocationError(ValueError):
    """The text names no S3 object."""


@dataclass(frozen=True)
class S3Location:
    """One S3 object: `bucket` and `key` (decoded; spaces and any script are fine)."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @classmethod
    def parse(
        cls, text: str, *, default_bucket: str | None = None, endpoint_url: str | None = None
    ) -> S3Location:
        """Read `s3://bucket/key`, an https S3 URL of either style, or a bare key.

        Parameters
        ----------
        text
            What the job says. A query (a signature, say) is dropped: the worker reads with its
            own role.
        default_bucket
            The bucket for a bare key.
        endpoint_url
            The SDK's own endpoint (a local stack), whose path-style URLs are read too.

        Raises
        ------
        LocationError
            Names the value and what is wrong with it.
        """
        scheme = _scheme(text)
        if scheme == "s3":
            bucket, _, key = unsigned(text)[len("s3://") :].partition("/")
        elif scheme in ("https", "http"):
            bucket, key = _from_url(text, endpoint_url)
        elif scheme:
            raise LocationError(
                f"{_shown(text)} is no S3 location: the scheme {scheme[:MAX_SCHEME_CHARS]!r} is "
                "unknown"
            )
        elif default_bucket is None:
            raise LocationError(
                f"{_shown(text)} is a bare key and WORKER_DEFAULT_BUCKET is not set: "
                "send s3://bucket/key"
            )
        else:
            bucket, key = default_bucket, unsigned(text).removeprefix("/")
        return _checked(bucket, key, text)

    def beside(self, key: str) -> S3Location:
        """Another object of the same bucket; raises LocationError for what is no key."""
        return _checked(self.bucket, key, f"s3://{self.bucket}/{key}")


def unsigned(text: str) -> str:
    """The part of a location that names the object: without a URL's query or a copied signature.

    In a form that has no query, any other `?` is a part of the key.
    """
    if _scheme(text) in ("https", "http"):
        return re.split(r"[?#]", text, maxsplit=1)[0]
    return _SIGNED.split(text, maxsplit=1)[0]


def _scheme(text: str) -> str:
    match = _SCHEME.match(text)
    return match["scheme"].lower() if match else ""


def _from_url(text: str, endpoint_url: str | None) -> tuple[str, str]:
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").rstrip(".")
        path = unquote(parts.path, errors="strict").removeprefix("/")
    except UnicodeDecodeError:
        raise LocationError(f"{_shown(text)} holds escapes that are not UTF-8") from None
    except ValueError:  # its text may hold a password
        raise LocationError(f"{_shown(text)} is no URL: its host or port cannot be read") from None
    endpoint = urlsplit(endpoint_url) if endpoint_url else None
    own = endpoint is not None and parts.netloc == endpoint.netloc
    # A bucket's own name may look like the beginning of S3's: it comes first.
    if not own and (match := _VIRTUAL_HOST.fullmatch(host)):
        return match["bucket"], path
    if own or _PATH_HOST.fullmatch(host):
        bucket, _, key = path.partition("/")
        return bucket, key
    raise LocationError(
        f"{_shown(text)} is no S3 URL: the host {host!r} is not S3's; send s3://bucket/key"
    )


def _checked(bucket: str, key: str, text: str) -> S3Location:
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise LocationError(f"{_shown(text)} names no valid bucket ({bucket[:80]!r})")
    if not key:
        raise LocationError(f"{_shown(text)} names the bucket {bucket!r} and no key")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise LocationError(f"{_shown(text)} has a key that is not valid Unicode") from None
    if size > MAX_KEY_BYTES:
        raise LocationError(f"the key in bucket {bucket!r} is {size} bytes, over {MAX_KEY_BYTES}")
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in key):
        raise LocationError(f"{_shown(text)} has a control character in its key")
    return S3Location(bucket, key)


def _shown(text: str) -> str:
    """The value as an error may show it: no query or fragment, no user name and password."""
    bare = re.split(r"[?#]", text, maxsplit=1)[0]
    if _scheme(text) != "s3":
        bare = _USERINFO.sub("", bare)
    return repr(bare if len(bare) <= MAX_SHOWN_CHARS else bare[:MAX_SHOWN_CHARS] + "…")
