"""Signed bundles: models carried on a USB stick; export, import, signing keys and trust."""
