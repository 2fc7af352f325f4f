"""Every error the application raises on purpose, in one tree.

Each message is a sentence for the person who has to act: what is wrong and what to do about it.
"""


class PricingError(Exception):
    """Root of what this application raises on purpose."""


class ArtifactError(PricingError):
    """The file is not a model that this version can serve."""


class StoreError(PricingError):
    """The place where models are kept did not give, or did not take, what was asked."""


class ModelUnavailable(PricingError):
    """No model could be loaded, so nothing can be priced."""


class AnswerCutShort(PricingError):
    """An answer broke off half way, too late to become another."""


class EventError(PricingError):
    """What Lambda was invoked with is no request that can be read."""


class DataError(PricingError):
    """A file of homes can't be read as one."""


class SettingsError(PricingError):
    """An environment variable holds something that can't be used."""
