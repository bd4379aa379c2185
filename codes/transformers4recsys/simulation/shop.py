"""A made-up shop: products with categories, brands and prices, visitors with tastes, and how they click.

Letters: `I` products, `C` categories, `U` users, `S` sessions of a day, `K` products like another one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NUM_ALIKE = 8
# Shares of the next click: a product like the last one, back to an earlier one, the same category, anywhere.
ALIKE, BACK, CATEGORY = 0.52, 0.14, 0.20
LONGEST_SESSION = 60
# Visits by hour of the day: few at night, most in the evening.
VISITS_BY_HOUR = np.array([4, 2, 1, 1, 2, 4, 7, 10, 13, 15, 16, 16, 16, 16, 17, 17, 18, 19, 21, 23, 24, 21, 14, 8.0])
DEPARTMENTS = ("electronics", "appliances", "apparel", "furniture", "kids", "sport", "auto", "computers")
GOODS = ("smartphone", "lamp", "chair", "shoes", "kettle", "bag", "clock", "desk", "camera", "bicycle", "drill", "toy")


@dataclass(frozen=True)
class Clicks:
    """Clicks of one day by session: `session_E`, `product_E` and `second_E` (of the day) of E clicks."""

    session: np.ndarray
    product: np.ndarray
    second: np.ndarray
    user_of_session: np.ndarray


class Shop:
    """The world behind the log, drawn once from the seed; it is the same however many days are asked for."""

    def __init__(
        self,
        *,
        num_products: int,
        sessions_per_day: int,
        seed: int,
        on_sale_at_start: float = 0.8,
        launched_per_day: float = 0.01,
    ):
        self.seed, self.sessions_per_day = seed, sessions_per_day
        self.on_sale_at_start, self.launched_per_day = on_sale_at_start, launched_per_day
        generator = np.random.default_rng([seed, 0])
        self.num_categories = int(max(4, round(num_products / 40)))
        share_C = 1 / np.arange(1, self.num_categories + 1) ** 0.7
        # Every category has a product; products of one category stand together.
        rest = generator.choice(self.num_categories, num_products - self.num_categories, p=share_C / share_C.sum())
        self.category_I = np.sort(np.concatenate([np.arange(self.num_categories), rest]))
        self.first_of_C = np.searchsorted(self.category_I, np.arange(self.num_categories + 1))
        self.launch_day_I = self._launch_days(num_products, generator)
        popularity_I = 1 / np.arange(1, num_products + 1) ** 0.9
        self.log_popularity_I = np.log(generator.permutation(popularity_I))
        self.alike_IK = self._alike(generator)
        self.product_id_I = (
            1_000_000 + 37 * generator.permutation(num_products) + generator.integers(0, 37, num_products)
        )
        self.price_I = self._prices(generator)
        self.brand_I = self._brands(generator)
        self.category_id_C = 2_053_013_552_000_000_000 + np.sort(generator.choice(10**9, self.num_categories, False))
        self.code_C = self._codes(generator)
        num_users = max(4 * sessions_per_day, 10)
        self.user_id_U = 500_000_000 + generator.permutation(num_users)
        self.tastes_U2 = generator.choice(self.num_categories, (num_users, 2), p=share_C / share_C.sum())

    def clicks(self, day: int) -> Clicks:
        """Draw the sessions that start on day number `day`, from 0; they may run on past midnight."""
        generator = np.random.default_rng([self.seed, 1, day])
        num_sessions = self.sessions_per_day
        length_S = 1 + generator.geometric(0.42, num_sessions) * generator.geometric(0.55, num_sessions)
        length_S = np.where(generator.random(num_sessions) < 0.22, 1, length_S).clip(max=LONGEST_SESSION)
        # Some visitors come often: the number of a user is skewed towards the first ones.
        user_S = (len(self.user_id_U) * generator.random(num_sessions) ** 2).astype(np.int64)
        product_SL = self._walks(day, user_S, length_S, generator)
        is_click_SL = np.arange(product_SL.shape[1]) < length_S[:, None]
        second_SL = _starts(num_sessions, generator)[:, None] + np.cumsum(
            np.exp(generator.normal(3.7, 1.0, product_SL.shape)).clip(1, 1500) * (np.arange(product_SL.shape[1]) > 0),
            axis=1,
        )
        session_SL = np.broadcast_to(np.arange(num_sessions)[:, None], product_SL.shape)
        return Clicks(
            session_SL[is_click_SL],
            product_SL[is_click_SL],
            second_SL[is_click_SL].astype(np.int64),
            user_S,
        )

    def _walks(self, day: int, user_S: np.ndarray, length_S: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        total_I = np.concatenate([[0], self._popularity(day).cumsum()])
        taste_S = self.tastes_U2[user_S, generator.integers(0, 2, len(user_S))]
        anywhere_S = _draw(total_I, np.zeros_like(user_S), np.full_like(user_S, len(total_I) - 1), generator)
        has_taste_S = generator.random(len(user_S)) < 0.6
        intent_S = np.where(has_taste_S, taste_S, self.category_I[anywhere_S])
        product_SL = np.zeros((len(user_S), int(length_S.max())), dtype=np.int64)
        product_SL[:, 0] = self._in_category(total_I, intent_S, generator)
        for position in range(1, product_SL.shape[1]):
            rows = np.flatnonzero(length_S > position)
            last = product_SL[rows, position - 1]
            kind = generator.random(len(rows))
            # The first of the products alike is the likeliest to be compared with.
            nth = np.minimum(generator.geometric(0.4, len(rows)) - 1, self.alike_IK.shape[1] - 1)
            alike = self.alike_IK[last, nth]
            earlier = product_SL[rows, (generator.random(len(rows)) * max(position - 1, 1)).astype(np.int64)]
            same_category = self._in_category(total_I, intent_S[rows], generator)
            anywhere = _draw(total_I, np.zeros_like(rows), np.full_like(rows, len(total_I) - 1), generator)
            is_on_sale = self.launch_day_I[alike] <= day
            chosen = np.where(is_on_sale, alike, same_category)
            chosen = np.where(kind < ALIKE, chosen, np.where(kind < ALIKE + BACK, earlier, same_category))
            product_SL[rows, position] = np.where(kind < ALIKE + BACK + CATEGORY, chosen, anywhere)
        return product_SL

    def _in_category(self, total_I: np.ndarray, category: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return _draw(total_I, self.first_of_C[category], self.first_of_C[category + 1], generator)

    def _popularity(self, day: int) -> np.ndarray:
        """Let the logarithm drift as a random walk; what is new is tried more, what is to come not at all."""
        drift_I = sum(
            (
                np.random.default_rng([self.seed, 2, d]).normal(0, 0.15, len(self.launch_day_I))
                for d in range(1, day + 1)
            ),
            np.zeros(len(self.launch_day_I)),
        )
        age_I = day - self.launch_day_I
        is_new_I = (age_I >= 0) & (self.launch_day_I > 0)
        novelty_I = np.where(is_new_I, 2.0 * np.exp(-np.maximum(age_I, 0) / 4), 0)
        popularity_I = np.exp(self.log_popularity_I + drift_I + novelty_I) * (age_I >= 0)
        return popularity_I / popularity_I.sum()

    def _launch_days(self, num_products: int, generator: np.random.Generator) -> np.ndarray:
        a_day = max(1, round(self.launched_per_day * num_products))
        number_I = np.arange(num_products) - round(self.on_sale_at_start * num_products)
        launch_day_I = generator.permutation(np.where(number_I < 0, 0, 1 + number_I // a_day))
        # A category without any product on sale could not be visited.
        launch_day_I[self.first_of_C[:-1]] = 0
        return launch_day_I

    def _alike(self, generator: np.random.Generator) -> np.ndarray:
        """List products like each product: near it in its category by some look, and one of another category."""
        look_I = generator.random(len(self.category_I))
        order_I = np.lexsort([look_I, self.category_I])
        place_I = np.argsort(order_I)
        steps_K = np.array([1, -1, 2, -2, 3, -3, 4, 5])[:NUM_ALIKE]
        size_I = np.diff(self.first_of_C)[self.category_I]
        first_I = self.first_of_C[self.category_I]
        alike_IK = order_I[first_I[:, None] + (place_I[:, None] - first_I[:, None] + steps_K) % size_I[:, None]]
        alike_IK[:, 3] = generator.integers(0, len(self.category_I), len(self.category_I))
        return alike_IK

    def _prices(self, generator: np.random.Generator) -> np.ndarray:
        level_C = generator.normal(4, 1, self.num_categories)
        return np.exp(level_C[self.category_I] + generator.normal(0, 0.5, len(self.category_I))).round(2).clip(0.5)

    def _brands(self, generator: np.random.Generator) -> np.ndarray:
        brands_C5 = generator.integers(0, max(5, self.num_categories), (self.num_categories, 5))
        brand_I = brands_C5[self.category_I, generator.integers(0, 5, len(self.category_I))]
        names_I = np.char.add("brand", brand_I.astype(str)).astype(object)
        names_I[generator.random(len(names_I)) < 0.14] = None
        return names_I

    def _codes(self, generator: np.random.Generator) -> np.ndarray:
        names = [f"{DEPARTMENTS[c % 8]}.{GOODS[c // 8 % 12]}{c // 96 or ''}" for c in range(self.num_categories)]
        names_C = np.array(names, dtype=object)
        names_C[generator.random(self.num_categories) < 0.3] = None
        return names_C


def _draw(total_I: np.ndarray, first: np.ndarray, end: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Draw one of the products first..end-1 by popularity, for each row; `total_I` sums popularity up from 0."""
    low, high = total_I[first], total_I[end]
    drawn = np.searchsorted(total_I, low + generator.random(len(first)) * (high - low), side="right") - 1
    return drawn.clip(first, end - 1)


def _starts(num_sessions: int, generator: np.random.Generator) -> np.ndarray:
    """Draw the second of the day at which each session starts."""
    share_before = np.concatenate([[0], VISITS_BY_HOUR.cumsum() / VISITS_BY_HOUR.sum()])
    return 3600 * np.interp(generator.random(num_sessions), share_before, np.arange(25))
