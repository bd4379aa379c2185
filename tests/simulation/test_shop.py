"""The made-up world: every product has its like, and nothing is sold before its launch."""

import numpy as np

from transformers4recsys.simulation.shop import LONGEST_SESSION, Shop


def test_products_alike_are_of_one_category_but_for_one():
    shop = Shop(num_products=300, sessions_per_day=100, seed=0)
    same = shop.category_I[shop.alike_IK] == shop.category_I[:, None]
    assert same[:, [0, 1, 2, 4, 5, 6, 7]].all() and not same[:, 3].all()


def test_a_fifth_of_the_products_is_launched_later_and_every_category_has_one_at_the_start():
    shop = Shop(num_products=300, sessions_per_day=100, seed=0)
    assert 0.1 < (shop.launch_day_I > 0).mean() <= 0.2
    for category in range(shop.num_categories):
        assert shop.launch_day_I[shop.category_I == category].min() == 0


def test_clicks_are_of_launched_products_and_sessions_have_their_lengths():
    shop = Shop(num_products=300, sessions_per_day=500, seed=0)
    clicks = shop.clicks(3)
    assert shop.launch_day_I[clicks.product].max() <= 3
    lengths = np.bincount(clicks.session)
    assert len(lengths) == 500 and lengths.min() == 1 and lengths.max() <= LONGEST_SESSION
    assert len(np.unique(shop.product_id_I)) == 300


def test_products_are_launched_as_asked():
    shop = Shop(num_products=400, sessions_per_day=100, seed=0, on_sale_at_start=0.25, launched_per_day=0.05)
    launched = np.bincount(shop.launch_day_I)
    # The first product of each of the 10 categories is on sale at once.
    assert 100 <= launched[0] <= 110 and (launched[1:] <= 20).all() and launched[1:].sum() == 400 - launched[0]
    assert len(launched) == 16
    assert (shop.launch_day_I[shop.clicks(3).product] <= 3).all()
