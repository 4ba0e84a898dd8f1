"""What can go wrong with a model file."""

from voicehelper.errors import ModelUnavailable


class SourceFailed(ModelUnavailable):
    """This source cannot deliver; the next one may."""

    default_message = "The source cannot be reached"


class ModelNotPulled(ModelUnavailable):
    """The file is not in the store."""

    default_message = "The model file is missing"


class HashMismatch(ModelUnavailable):
    """The bytes are not those of the manifest. Nothing of them is kept."""

    retryable = False
    default_message = "The model file's SHA-256 is wrong"


class NotEnoughDisk(ModelUnavailable):
    """The store's disk cannot hold what is missing."""

    retryable = False
    default_message = "Not enough disk space"


class Cancelled(ModelUnavailable):
    """The run was stopped; what is finished stays for the next one."""

    default_message = "Stopped"
