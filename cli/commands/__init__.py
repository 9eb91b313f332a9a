"""The sub-commands of `pollux`, grouped by topic."""
