"""The sub-commands of `pollux`, a module for those that belong together."""
