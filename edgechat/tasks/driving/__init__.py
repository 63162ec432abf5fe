"""The task driving: rules compute the risk of a scene, a model may explain it. Not a certified safety system."""
