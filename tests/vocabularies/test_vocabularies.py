from __future__ import annotations

import pytest

from audiocur.errors import ConfigError
from audiocur.vocabularies import path_of, shipped, vocabulary


@pytest.mark.parametrize("name", shipped())
def test_a_shipped_vocabulary_says_what_it_is(name):
    read = vocabulary(name)
    assert read.name == name
    assert 1 <= read.most < len(read.texts)
    assert path_of(name).read_text().startswith("# ")
    for word, text in read.texts.items():
        assert word == word.strip()
        assert "," not in word, "a caption joins tags with commas"
        assert text.endswith(".")
        assert "{" not in text


@pytest.mark.parametrize("name", ["genre", "mood", "instrument"])
def test_words_stand_in_the_text_and_in_order(name):
    texts = vocabulary(name).texts
    assert all(word in text for word, text in texts.items())
    assert list(texts) == sorted(texts, key=str.lower)


def test_no_word_is_in_two_vocabularies():
    words = [word for name in shipped() for word in vocabulary(name).texts]
    assert len(words) == len(set(words))


def test_a_users_own_with_a_text_for_all(tmp_path):
    (tmp_path / "era.yaml").write_text("text: Music of the {}.\nmost: 1\nwords: ['1970s', baroque]\n")
    read = vocabulary(str(tmp_path / "era.yaml"))
    assert (read.name, read.most) == ("era", 1)
    assert read.texts == {"1970s": "Music of the 1970s.", "baroque": "Music of the baroque."}


def test_a_users_own_with_a_text_for_each(tmp_path):
    (tmp_path / "live.yaml").write_text("most: 1\nwords:\n  live: An audience claps.\n  studio: A studio recording.\n")
    assert vocabulary(str(tmp_path / "live.yaml")).texts == {
        "live": "An audience claps.",
        "studio": "A studio recording.",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("most: 1\nwords: [a, b]\n", "text=None"),
        ("text: no place\nmost: 1\nwords: [a, b]\n", "text=no place"),
        ("text: a {}\nwords: [a, b]\n", "most=None"),
        ("text: a {}\nmost: 0\nwords: [a, b]\n", "most=0"),
        ("text: a {}\nmost: true\nwords: [a, b]\n", "most=True"),
        ("text: a {}\nmost: 1\n", "words: expected a list"),
        ("text: a {}\nmost: 1\nwords: [a]\n", "words: expected a list"),
        ("text: a {}\nmost: 1\nwords: [a, no]\n", "words: False: expected text"),
        ("text: a {}\nmost: 1\nwords: [a, 1990]\n", "words: 1990: expected text"),
        ("text: a {}\nmost: 1\nwords: [a, b, a]\n", "a is there twice"),
        ("most: 1\nwords: {a: one, b: null}\n", "words: None: expected text"),
        ("text: a {}\nmost: 1\nwords: [a, b]\nmany: 2\n", "many: unknown key"),
        ("text: a {}\nmost: 1\nwords: [a, b\n", "not valid YAML"),
    ],
)
def test_one_that_is_none_is_refused_by_name(tmp_path, text, said):
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(ConfigError) as error:
        vocabulary(str(tmp_path / "own.yaml"))
    assert "own.yaml" in str(error.value)
    assert said in str(error.value)


def test_one_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="expected genre, instrument, mood, vocals or the path of a YAML file"):
        vocabulary(str(tmp_path / "none.yaml"))
