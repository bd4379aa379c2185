from math import exp

import pytest

from transformers4recsys.baselines.stan import StanSettings, stan


@pytest.mark.parametrize(("k", "sample"), [(500, 5000), (4, 9)])
def test_stan(k, sample, check_neighbours):
    settings = StanSettings(k, sample, stan_lambda_spw=1.3, stan_lambda_snh=2.0, stan_lambda_inh=0.8)
    definition = {
        "weight": lambda from_end, length: exp(-from_end / 1.3),
        "match": lambda from_end: 1,
        "age": lambda days: exp(-days / 2.0),
        "distance": lambda places: exp(-places / 0.8),
    }
    check_neighbours(stan, settings, k=k, sample=sample, is_cosine=True, **definition)
