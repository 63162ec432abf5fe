"""Driving-scene risk: arithmetic decides, a model may explain. Not a certified safety system."""
