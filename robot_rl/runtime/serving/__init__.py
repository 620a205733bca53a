"""The policy server: plans for whoever may ask, over websockets that speak openpi's protocol."""
