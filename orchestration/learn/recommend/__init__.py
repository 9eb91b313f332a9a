"""Next-basket recommendations: from purchase histories to ranked products.

`baskets` holds histories, `personal` and `others` the parts of a score, `model` puts them together,
`choose` picks hyperparameters, `baselines`, `tifu` and `evaluate` measure its quality, `land` lands
the result.
"""
