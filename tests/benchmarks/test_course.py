import numpy as np
import pytest


@pytest.fixture
def course(script):
    return script("course")


@pytest.fixture
def log(course, tmp_path):
    (tmp_path / "Beauty.txt").write_text("1 5 6 7 8\n2 7 5 6 9\n3 1 2 3 4 10\n")
    return course.beauty(tmp_path, asked=99)


def ideal():
    """Lists that have the answer at rank 1, 2, 3 for the users 1, 2, 3."""
    lists = np.zeros((3, 10), int)
    lists[range(3), range(3)] = [7, 6, 4]
    return lists


def test_last_items_are_put_away_and_the_ones_before_are_asked_for(log):
    assert log.item.tolist() == [5, 6, 7, 7, 5, 6, 1, 2, 3, 4]
    assert log.item[log.last].tolist() == [7, 6, 4]
    assert log.item[log.learned].tolist() == [5, 6, 7, 5, 1, 2, 3]
    assert (log.items, log.asked.tolist()) == (10, [1, 2, 3])


def test_ndcg_is_the_mean_discount_at_the_rank_of_the_answer(log):
    assert log.ndcg(ideal()) == pytest.approx((1 + 1 / np.log2(3) + 1 / 2) / 3)
    with pytest.raises(ValueError, match="expected"):
        log.ndcg(ideal()[:2])


def test_the_same_users_are_asked_every_time(course, tmp_path):
    (tmp_path / "Beauty.txt").write_text("".join(f"{user} 1 2 3 4\n" for user in range(1, 101)))
    first, second = (course.beauty(tmp_path, asked=10).asked for _ in range(2))
    assert first.tolist() == second.tolist() == sorted(set(first.tolist()))
    assert len(first) == 10


def test_users_out_of_order_are_refused(course, tmp_path):
    (tmp_path / "Beauty.txt").write_text("1 1 2 3 4\n3 1 2 3 4\n")
    with pytest.raises(ValueError, match="not numbered"):
        course.beauty(tmp_path, asked=1)


class Clock:
    """A step takes 2 seconds, a question 1,000."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize(
    ("answers", "steps", "reached"),
    [
        ([0, 0, 1], 3 * 44, True),  # at the third question
        ([0] * 9, 4 * 44, False),  # 4 x 88 s are the first to pass a cap of 300 s
    ],
)
def test_the_course_ends_at_the_goal_or_the_cap_and_questions_cost_nothing(
    course, log, answers, steps, reached
):
    clock, given = Clock(), iter(answers)

    def lists():
        clock.now += 1000
        return ideal() if next(given) else np.zeros((3, 10), int)

    run = course.Course(log, goal=0.5, cap=5.0, clock=clock)
    run.start()
    over = False
    while not over:
        clock.now += 2
        over = run.step(3, lists)
    row = run.row(peer="me")
    assert (row["steps"], row["cpu_s"], row["epochs"]) == (steps, 2.0 * steps, float(steps))
    assert [seconds for seconds, _ in row["curve"]] == [88.0 * i for i in range(1, steps // 44 + 1)]
    assert (row["curve"][-1][1] >= 0.5) == reached
