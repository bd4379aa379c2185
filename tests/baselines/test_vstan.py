from math import exp

import pytest

from transformers4recsys.baselines.vstan import VstanSettings, vstan


@pytest.mark.parametrize(("k", "sample"), [(500, 5000), (4, 9)])
def test_vstan(k, sample, check_neighbours):
    settings = VstanSettings(k, sample, 1.3, 2.0, 0.8, vstan_lambda_ipw=0.9, vstan_lambda_idf=1.5)
    definition = {
        "weight": lambda from_end, length: exp(-from_end / 1.3),
        "match": lambda from_end: exp(-from_end / 0.9),
        "age": lambda days: exp(-days / 2.0),
        "distance": lambda places: exp(-places / 0.8),
    }
    check_neighbours(vstan, settings, k=k, sample=sample, is_cosine=True, idf=1.5, **definition)
