"""What an error of an object store means: one sentence with what to do, and whether to retry.

The S3 error code decides; the HTTP status counts only where an answer has no code.
"""

import re

from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

from data_access.errors import LogError

CODE = re.compile(r"<Code>\s*([\w.]+)\s*</Code>|An error occurred \(([\w.]+)\)")
STATUS = re.compile(r"non-2xx status code: (\d+)")
UNREACHABLE = re.compile(r"error sending request|\bconnect|timed? ?out|\bdns\b", re.IGNORECASE)
CERTIFICATE = re.compile(r"UnknownIssuer|certificate verify|invalid peer certificate|SSL valid")
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
TOLD_BY_SENTENCE = (*MISSING, "NoSuchBucket", "AccessDenied")


def store_failure(place: str, error: Exception, done: str = "read") -> LogError:
    """The failure to raise for what a client said of a request, often a page of XML.

    done: `read` or `written`.
    """
    text = _message(error)
    code, status = _code(text), _status(text)
    sentence = _sentence(place, error, text, code or status, done).format(
        place=place, done=done, status=status
    )
    if code and code not in sentence and code not in TOLD_BY_SENTENCE:
        sentence = f"{sentence} The store said {code}."
    is_busy = code in BUSY or (status[:1] == "5" and status != "501")
    return LogError(
        sentence, retryable=code not in FINAL, transient=is_busy or is_unreachable(error)
    )


def is_missing(error: Exception) -> bool:
    """Whether it is the object that is not there, rather than its bucket, say."""
    return isinstance(error, FileNotFoundError) and _code(_message(error)) in MISSING


def is_unreachable(error: Exception) -> bool:
    """Whether the store did not answer at all."""
    text = _message(error)
    return bool(UNREACHABLE.search(text)) and not _status(text)


def _sentence(place: str, error: Exception, text: str, code: str, done: str) -> str:
    if is_missing(error):
        return "{place} is not there (any more)."
    if not place.startswith("s3://") and FOLDER_DENIED.search(text):
        return "{place} cannot be {done}: permission denied; check who owns the folder."
    if SSO.search(text):
        return "The AWS SSO session for {place} has expired: run `aws sso login`."
    if CERTIFICATE.search(text):
        return (
            "The TLS certificate of {place} is not trusted: "
            "set AWS_CA_BUNDLE to your organization's CA bundle."
        )
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
    said = text.splitlines()[0][:200] if text else type(error).__name__
    return "{place} cannot be {done}: " + said.replace("{", "{{").replace("}", "}}")


def _message(error: Exception) -> str:
    """What a client says of an error, without the settings it repeats."""
    text = str(error).partition("\n\nDebug source:")[0]
    return re.sub(r"max_retries: \d+, retry_timeout: \S+", "", text)


def _code(text: str) -> str:
    found = CODE.search(text)
    return (found[1] or found[2]) if found else ""


def _status(text: str) -> str:
    found = STATUS.search(text)
    return found[1] if found else ""
