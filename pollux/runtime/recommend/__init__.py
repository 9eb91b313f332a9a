"""Recommendations of a household from its baskets, for the build and between two builds.

`baskets` holds histories, `personal` scores what was bought before, `candidates` puts a score
together, `rows` makes the rows of `product_recommendations`, `learned` keeps what a release knows
of everybody, so that a household's rows follow its next basket. What is learned from all households
is `orchestration.learn.recommend`.
"""
