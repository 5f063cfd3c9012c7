"""What an error of an object store means: one sentence with what to do, and whether to retry.

The S3 error code decides; the HTTP status counts only where an answer has no code.
"""

import re

import botocore.exceptions
import botocore.session
from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from data_access.errors import LogError

CODE = re.compile(r"<Code>\s*([\w.]+)\s*</Code>|An error occurred \(([\w.]+)\)")
STATUS = re.compile(r"non-2xx status code: (\d+)")
UNREACHABLE = re.compile(r"error sending request|\bconnect|timed? ?out|\bdns\b", re.IGNORECASE)
CREDENTIALS = re.compile(r".*External AWS credential provider: (?:\w+: )?")
SSO = re.compile(r"\bSSO\b|SSOToken|TokenRetrievalError")
FOLDER_DENIED = re.compile(r"Permission denied|Read-only file system|os error (13|30)\b")
MISSING = ("", "404", "NoSuchKey", "NotFound", "NoSuchVersion")

# codes of requests that no later attempt can mend; all others may be tried again
FINAL = {
    "InvalidArgument",
    "InvalidObjectName",
    "InvalidURI",
    "KeyTooLongError",
    "XMinioInvalidObjectName",
}
# codes of a store that may take the same request a moment later
BUSY = {
    "ConditionalRequestConflict",
    "InternalError",
    "OperationAborted",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "TooManyRequests",
}
DENIED = "Access to {place} is denied: check the credentials and the bucket's policy."
EXPIRED = "Access to {place} is denied: the credentials have expired or are invalid; renew them."
ELSEWHERE = "The bucket of {place} is in another region: set AWS_REGION to it."
UNCONDITIONAL = (
    "{place} cannot be {done}: the store does not support conditional writes; "
    "set MISREAD_CONDITIONAL_WRITES=0."
)
# by code (the first pattern that matches all of it): what happened, and what to do
SENTENCES = {
    r"ExpiredToken\w*|InvalidToken|TokenRefreshRequired|RequestExpired": EXPIRED,
    r"RequestTimeTooSkewed": (
        "{place} cannot be {done}: the clock of this machine is off by minutes; set it right."
    ),
    r"InvalidObjectState": (
        "{place} is archived (Glacier or Deep Archive): restore it, then sync again."
    ),
    r"KMS\..*": (
        "{place} cannot be {done}: its KMS key is not usable; check the key's state and policy."
    ),
    r"NoSuchBucket": "There is no bucket for {place}.",
    r"PermanentRedirect|AuthorizationHeaderMalformed|301": ELSEWHERE,
    r"AccessDenied|AllAccessDisabled|AccountProblem|SignatureDoesNotMatch|InvalidAccessKeyId|403": (
        DENIED
    ),
    r"ConditionalRequestConflict|OperationAborted|409": (
        "{place} cannot be {done} now: another request is changing it; try again."
    ),
}
UNEXPLAINED = "{place} cannot be {done} now: the store answers with error {status}."
IMPLIED_CODES = (*MISSING, "NoSuchBucket", "AccessDenied")  # their sentences say it all
# by what a TLS client says of a certificate (the first pattern that is in it)
CERTIFICATES = {
    r"NotValidForName|hostname mismatch|address mismatch|doesn't match": (
        "The TLS certificate of the store of {place} is for another host name: "
        "check the endpoint's address."
    ),
    r"InvalidCertificate\(\s*Expired|certificate has expired|NotValidYet|not yet valid": (
        "The TLS certificate of the store of {place} has expired or is not valid yet: "
        "check it, and the clock of this machine."
    ),
    r"InvalidCertificate|CERTIFICATE_VERIFY_FAILED|SSL validation failed": (
        "The TLS certificate of the store of {place} is not trusted: "
        "set AWS_CA_BUNDLE to your organization's CA bundle."
    ),
}


def store_failure(place: str, error: Exception, done: str = "read") -> LogError:
    """The failure to raise for a client's error, whose text is often a page of XML.

    done: `read`, `written` or `removed`.
    """
    text = _message(error)
    code, status = _code(text), _status(text)
    sentence = _sentence(place, error, text, code or status, done).format(
        place=place, done=done, status=status
    )
    if code and code not in sentence and code not in IMPLIED_CODES:
        sentence = f"{sentence.removesuffix('.')} ({code})."
    is_busy = code in BUSY or (status[:1] == "5" and status != "501")
    is_silent = is_unreachable(error) and not _certificate_sentence(error)
    return LogError(sentence, retryable=code not in FINAL, transient=is_busy or is_silent)


def credentials_failure(place: str, error: Exception) -> LogError:
    """The failure to raise where boto3 finds no credentials or no profile for a place."""
    return LogError(_credentials_sentence(error, str(error)).format(place=place))


def is_missing(error: Exception) -> bool:
    """Whether it is the object that is not there, rather than its bucket, say."""
    return isinstance(error, FileNotFoundError) and _code(_message(error)) in MISSING


def is_unreachable(error: Exception) -> bool:
    """Whether the store did not answer at all."""
    text = _message(error)
    return bool(UNREACHABLE.search(text)) and not _status(text)


def _sentence(place: str, error: Exception, text: str, code: str, done: str) -> str:
    """A sentence with fields `place`, `done` and `status`; code: S3's, or else the status."""
    if is_missing(error):
        return "{place} is not there (any more)."
    if not place.startswith("s3://") and FOLDER_DENIED.search(text):
        return "{place} cannot be {done}: permission denied; check who owns the folder."
    if CREDENTIALS.search(text) or SSO.search(text):
        return _credentials_sentence(error, text)
    if sentence := _certificate_sentence(error):
        return sentence
    if code in ("NotImplemented", "501") and done == "written":
        return UNCONDITIONAL
    for pattern, sentence in SENTENCES.items():
        if re.fullmatch(pattern, code):
            return sentence
    if isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError):
        return DENIED
    if is_unreachable(error):
        return "{place} does not answer: is the store up, and its address right?"
    if _status(text):
        return UNEXPLAINED
    first_line = text.splitlines()[0] if text else type(error).__name__
    return "{place} cannot be {done}: " + _literal(first_line)


def _credentials_sentence(error: Exception, text: str) -> str:
    profile = botocore.session.get_session().profile
    if isinstance(error, botocore.exceptions.ProfileNotFound):
        return _literal(
            f"There is no AWS profile {profile}: correct AWS_PROFILE, or create it with "
            f"`aws configure sso --profile {profile}`."
        )
    if SSO.search(f"{type(error).__name__} {text}"):
        command = f"aws sso login --profile {profile}" if profile else "aws sso login"
        return "There is no valid AWS SSO session for {place}: run " + _literal(f"`{command}`.")
    advice = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    reason = CREDENTIALS.sub("", text.splitlines()[0]).removesuffix(".")
    return f"No AWS credentials for {{place}}: {advice} ({_literal(reason)})."


def _certificate_sentence(error: Exception) -> str | None:
    """None where it is not a TLS certificate that a client refuses."""
    text = str(error)  # obstore names the reason in the details alone
    matches = (row for pattern, row in CERTIFICATES.items() if re.search(pattern, text))
    return next(matches, None)


def _literal(text: str) -> str:
    """At most 200 characters of a text, to be formatted."""
    return text[:200].replace("{", "{{").replace("}", "}}")


def _message(error: Exception) -> str:
    """An error's text without the client's settings, which some clients append."""
    text = str(error).partition("\n\nDebug source:")[0]
    return re.sub(r"max_retries: \d+, retry_timeout: \S+", "", text)


def _code(text: str) -> str:
    match = CODE.search(text)
    return (match[1] or match[2]) if match else ""


def _status(text: str) -> str:
    match = STATUS.search(text)
    return match[1] if match else ""
