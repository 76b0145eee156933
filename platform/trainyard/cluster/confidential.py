"""What looks like a secret, by names of variables, by values and by names of files.

Whoever sees the dashboard of a cluster sees the command, the environment and the files of a submitted job.
"""

import re
from fnmatch import fnmatchcase
from pathlib import PurePath

_SECRETS = re.compile(
    r"password|passwd|passphrase|secret|credential|api_?key|access_?key|authorization"
    r"|(^|_)(pass|pwd|pat|auth|cookie)s?(_|$)|(ssh|pg|my|db)pass$",
    re.IGNORECASE,
)
_TOKENS = re.compile(r"(^|_)(token|key)s?(_|$)|tokens?$", re.IGNORECASE)
"""Models have tokens and keys as well, by numbers and switches: MAX_TOKENS=512, key_dim=64, cls_token=true."""
_NUMBER = re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?|true|false", re.IGNORECASE)
_HARMLESS = frozenset({"RAY_AUTH_MODE"})

_VALUES = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{16,}|gh[opsur]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}"
    r"|sk-(?:ant-|proj-)?[A-Za-z0-9_]{20,}|(?:AKIA|ASIA)[A-Z0-9]{12,}|eyJ[\w.-]{16,})|-----BEGIN[\s\S]*"
)
"""Tokens of Hugging Face, GitHub, GitLab, Slack and others, keys of AWS, JSON web tokens, PEM."""

_FILES = (
    *("*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.ppk", "*.kdbx", "*.token", "auth_token"),
    *("id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "kubeconfig"),
    *(".env", ".env.*", "*.env", ".netrc", ".pgpass", ".pypirc", ".npmrc", ".htpasswd"),
    *("*credentials*", "client_secret*", "service[_-]account*.json", "secrets", "secret.*", "secrets.*"),
)


def is_secret(name: str, value: object) -> bool:
    """Whether what a variable or a setting of this name has for a value is likely to be a secret."""
    if name in _HARMLESS:
        return False
    if _SECRETS.search(name):
        return True
    return _TOKENS.search(name) is not None and not _NUMBER.fullmatch(str(value))


def is_secret_file(path: PurePath) -> bool:
    """Whether a file of this name is likely to be a key, or to hold passwords; code is not, whatever it is called."""
    name = path.name.lower()
    return not name.endswith(".py") and any(fnmatchcase(name, pattern) for pattern in _FILES)


def without_tokens(text: str) -> str:
    """The text with `***` for what has the form of a token or of a private key."""
    return _VALUES.sub("***", text)
