"""Where settings come from: Pulumi's own configuration of the selected stack."""

import pulumi

from settings.model import NAMESPACE, SECRET_KEYS, Settings, SettingsError, parse

LOCATION_KEY = "azure-native:location"


def load_settings() -> Settings:
    """The stack's validated settings; warns about VM sizes that Azure retires or may not offer, and
    says what the chosen sizes mean.

    Raises pulumi.RunError, before any resource exists, when the configuration is refused.
    """
    prefix = f"{NAMESPACE}:"
    config = {
        key.removeprefix(prefix): value
        for key, value in _all_config().items()
        if key.startswith(prefix)
    }
    location = pulumi.Config("azure-native").get("location")
    if location is None:
        raise pulumi.RunError(
            f"{LOCATION_KEY}: not set; pulumi config set {LOCATION_KEY} westeurope"
        )
    try:
        settings = parse({**config, "location": location})
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None
    # A default cannot be encrypted, so the project file cannot ask for it.
    for key in sorted(SECRET_KEYS):
        if config.get(key) and not pulumi.runtime.config.is_config_secret(prefix + key):
            raise pulumi.RunError(
                f"{key}: stands unencrypted in the stack's configuration; nothing was changed. "
                f"pulumi config set --secret {key}"
            )
    for warning in settings.retirement_warnings():
        pulumi.warn(warning)
    for warning in settings.availability_warnings():
        pulumi.warn(warning)
    for warning in settings.silence_warnings():
        pulumi.warn(warning)
    for warning in settings.capacity_warnings():
        pulumi.warn(warning)
    for sentence in settings.forecast():
        pulumi.info(sentence)
    return settings


def _all_config() -> dict[str, str]:
    """Every key, the unknown ones too: pulumi.Config only answers for keys it is asked for."""
    return {**pulumi.runtime.get_config_env(), **pulumi.runtime.config.CONFIG.get()}
