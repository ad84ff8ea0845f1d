"""`reelmill keep`, `drop` and `reviews`."""

import json


def test_clips_are_dropped_and_kept_by_hand(reelmill, copied):
    out, where = copied.out, ("--verdict", "kept", "--json")
    kept = [json.loads(line)["clip_id"] for line in reelmill("ls", out, *where).out.splitlines()]
    assert reelmill("reviews", out).out == "nothing was decided by hand\n"
    ended = reelmill("drop", out, kept[0][:8], "--by", "ann", "--note", "a logo")
    assert (ended.code, "1 clip dropped by hand" in ended.out) == (0, True)
    assert "2 clips" not in reelmill("keep", out, "short.mp4").out
    why = reelmill("why", out, kept[0]).out
    assert "dropped by hand, by ann at 20" in why
    assert "UTC: a logo; select applies it" in why
    assert reelmill("select", out, *copied.options).code in (0, 3)
    verdicts = {
        row["clip_id"]: (row["verdict"], row["reason"])
        for row in map(json.loads, reelmill("ls", out, "--json").out.splitlines())
    }
    assert verdicts[kept[0]] == ("filtered", "excluded")
    rows = list(map(json.loads, reelmill("reviews", out, "--json").out.splitlines()))
    assert (rows[0]["decision"], rows[0]["by"]) == ("drop", "ann")
    assert verdicts[rows[1]["clip_id"]] == ("kept", None), "though it is too short"
    assert reelmill("verify", out).code == 0
    assert reelmill("keep", out, kept[0], "short.mp4", "--undo").code == 0
    assert reelmill("reviews", out).out == "nothing was decided by hand\n"
    assert reelmill("keep", out, "nothing.mp4").code == 2
