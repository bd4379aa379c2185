from collections import Counter

from transformers4recsys.recommender import Recommender
from transformers4recsys.recommender.example_sessions import sessions_by_popularity


def test_they_have_all_lengths_and_follow_popularity(run_train):
    recommender = Recommender.load(run_train(session_seq_length_max=5), device="cpu")
    counts = recommender.inference.model.item_counts
    counts.zero_()
    counts[7] = 10_000

    sessions = sessions_by_popularity(recommender, 9)

    assert [len(session) for session in sessions] == [2, 3, 4, 2, 3, 4, 2, 3, 4]
    assert Counter(item for session in sessions for item in session).most_common(1)[0][0] == 7
    assert sessions == sessions_by_popularity(recommender, 9)
