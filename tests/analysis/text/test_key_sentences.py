from analysis.statistics.importance import IDLE, MATTERS, OPEN, Importance
from analysis.text.key_sentences import key_sentences


def importance(objective, key, verdict, share=0.5, low=0.3, high=0.7):
    return Importance(objective, key, 3, 20, share, low, high, verdict)


def test_a_sentence_an_objective_tells_what_matters_and_what_does_nothing():
    said = key_sentences(
        [
            importance("validation/accuracy", "train.learning_rate", MATTERS),
            importance("validation/accuracy", "alpha", OPEN),
            importance("validation/accuracy", "student.dropout", IDLE, 0.0, 0.0, 0.05),
            importance("validation/accuracy", "temperature", IDLE, 0.0, 0.0, 0.05),
            importance("validation/ece_scaled", "alpha", IDLE, 0.0, 0.0, 0.05),
        ],
        num_arms=30,
    )
    assert [each.replace("\N{NO-BREAK SPACE}", " ") for each in said] == [
        "For accuracy, what matters is train.learning_rate (50 % of the variance over arms, 30 to 70); "
        "student.dropout, temperature do nothing visible.",
        "For ECE as shipped, no key visibly matters; alpha does nothing visible.",
    ]
    assert key_sentences([], num_arms=30) == []


def test_of_few_arms_one_sentence_says_that_they_are_too_few():
    assert key_sentences([], num_arms=29) == ["Too few arms to tell which key matters (29; 30 are needed)."]
    assert key_sentences([], num_arms=1) == key_sentences([], num_arms=0) == []
