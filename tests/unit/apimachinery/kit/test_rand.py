from apimachinery.kit import rand


def test_letters_make_no_words() -> None:
    many = {rand.letters(5) for _ in range(200)}
    assert len(many) > 190
    assert set("".join(many)) <= set("bcdfghjklmnpqrstvwxz2456789")


def test_safe_encode_string() -> None:
    assert rand.safe_encode("") == ""
    assert rand.safe_encode("ab") == "vw", "the 97th and the 98th, of 27"
