"""Streamlit's options: how the dashboard looks, and that nothing leaves the machine.

Belongs here: options of Streamlit. Does not belong here: what an installation chooses
(`pollux.runtime.settings`).
"""

from typing import Any

CONDUCT: dict[str, Any] = {
    # Neither figures about viewers to Streamlit's makers, nor questions for an address.
    "browser.gatherUsageStats": False,
    "server.showEmailPrompt": False,
    "server.headless": True,
    # An error's text could hold what the API answered, and its links lead outside.
    "client.showErrorDetails": "none",
    "client.showErrorLinks": False,
    "client.toolbarMode": "minimal",
    # No page elsewhere may frame this one and steer it.
    "client.allowedOrigins": [],
    # The files are those of a package: they do not change while it runs.
    "server.fileWatcherType": "none",
    "server.runOnSave": False,
    "runner.magicEnabled": False,
    "logger.level": "warning",
    "logger.hideWelcomeMessage": True,
    # rich prints an error with its text, past the logs that Pollux masks.
    "logger.enableRich": False,
}
LOOK: dict[str, Any] = {
    "theme.baseRadius": "0.4rem",
    "theme.headingFontSizes": ["2rem", "1.35rem", "1.1rem"],
    "theme.headingFontWeights": [650, 600, 600],
    "theme.metricValueFontSize": "1.6rem",
    "theme.showWidgetBorder": True,
    "theme.light.primaryColor": "#0f766e",
    "theme.light.backgroundColor": "#ffffff",
    "theme.light.secondaryBackgroundColor": "#f1f5f4",
    "theme.light.textColor": "#0b1412",
    "theme.light.borderColor": "#d5dedb",
    "theme.light.linkColor": "#0b5f58",
    "theme.dark.primaryColor": "#0e7c73",
    "theme.dark.backgroundColor": "#101816",
    "theme.dark.secondaryBackgroundColor": "#1a2523",
    "theme.dark.textColor": "#e7efed",
    "theme.dark.borderColor": "#32413d",
    "theme.dark.linkColor": "#5eead4",
}
OPTIONS = CONDUCT | LOOK
