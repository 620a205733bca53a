"""How cameras are seen: backbones, heads on their features, and the encoder of both."""
