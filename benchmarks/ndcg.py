"""How well an output's clips are ranked for questions whose answers are known: nDCG@10.

    python benchmarks/ndcg.py OUT questions.json

The file is a list of `{"text": …, "relevant": {clip id: gain}}`. Each is queried by words of the
captions, by vectors and by both, and the mean nDCG@10 (Järvelin and Kekäläinen 2002) is printed.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from curation.search import Search

_DISCOUNT = 1 / np.log2(np.arange(2, 12))


def ndcg(found, gains):
    """Of ten hits (clip ids), beside the best ten that there are; `gains` by clip id."""
    got = np.array([gains.get(clip, 0.0) for clip in found[:10]], float)
    best = np.sort(np.array(list(gains.values()), float))[::-1][:10]
    return float((got * _DISCOUNT[: len(got)]).sum() / (best * _DISCOUNT[: len(best)]).sum())


def by_each(search, questions, embeddings=None):
    """nDCG@10 of each question, by words, by vectors and by both."""
    scores = {"words": [], "vectors": [], "both": []}
    for text, gains in questions:
        for by, kept in scores.items():
            hits = search.query(text, by=by, k=10, collapse=False, embeddings=embeddings)
            kept.append(ndcg(hits["clip_id"].to_pylist(), gains))
    return {by: np.array(kept) for by, kept in scores.items()}


def say(found):
    for by, scores in found.items():
        error = scores.std() / len(scores) ** 0.5
        print(f"nDCG@10 of {len(scores)} questions by {by:8s} {scores.mean():.3f} ± {error:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("out", help="output of reelmill")
    parser.add_argument("questions", type=Path, help="JSON")
    parser.add_argument("--embeddings", help="table of embeddings to ask")
    parser.add_argument("--model", help="open_clip model that made it, where no run says it")
    options = parser.parse_args()
    asked = [(one["text"], one["relevant"]) for one in json.loads(options.questions.read_text())]
    say(by_each(Search(options.out, model=options.model), asked, options.embeddings))


if __name__ == "__main__":
    main()
