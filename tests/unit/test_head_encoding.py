"""The encoding of a head: what the bytes decide is named; else windows-1252, with the others beside."""

from __future__ import annotations

import pytest

from pipeline.exports.head.encoding import encoding_of

GERMAN = "Jürgen Müller,Käthe Weiß,Sören Jäger,Uwe Böhm,Björn Žitnik,Günther Šimek,Bärbel Köhler"
FRENCH = "André Lefèvre,Hélène Château,Zoë Garçon,François Bérénice,Noël Plût"
SPANISH = "José Peña,María Núñez,Iñaki Ibáñez,Raúl Gómez,Begoña Muñoz"
NORDIC = "Søren Kjær,Åse Bjørnstad,Øystein Håkonsen,Märta Öberg,Jørgen Ærø"
POLISH = "Łukasz Wiśniewski,Małgorzata Dąbrowska,Stanisław Wójcik,Elżbieta Zając,Grażyna Król"
CZECH = "Jiří Dvořák,Zdeněk Němec,Božena Kučerová,Růžena Černá,František Šťastný"
HUNGARIAN = "Győző Szűcs,Erzsébet Kőrösi,Jenő Fűzfa,Ödön Hős,Tünde Erdős"
RUSSIAN = "Иван Петров,Мария Сидорова,Сергей Кузнецов,Ольга Смирнова"


def lines(names, encoding):
    return ("id,name\n" + "".join(f"7,{name}\n" for name in names.split(","))).encode(encoding)


@pytest.mark.parametrize("names", [GERMAN, FRENCH, SPANISH, NORDIC, "Jürgen", "Zoë", "Šimek"])
def test_accents_that_several_encodings_have_are_windows_1252(names):
    """Most programs write it; Central European letters stand among the candidates."""
    encoding, others = encoding_of(lines(names, "cp1252"))
    assert encoding == "cp1252"
    assert "cp1250" in others


@pytest.mark.parametrize("names", [POLISH, CZECH])
def test_letters_that_windows_1252_has_not_decide(names):
    """A sign inside a word, or a byte without a letter, is no word of Western Europe."""
    assert encoding_of(lines(names, "cp1250"))[0] == "cp1250"


@pytest.mark.parametrize(
    ("names", "encoding"),
    [(POLISH, "cp1250"), (CZECH, "cp1250"), (HUNGARIAN, "cp1250"), (RUSSIAN, "cp1251")],
)
def test_the_right_one_is_named_or_a_candidate(names, encoding):
    """What the bytes cannot tell a person can."""
    first, others = encoding_of(lines(names, encoding))
    assert encoding in (first, *others)


@pytest.mark.parametrize(
    ("names", "encoding"),
    [("สมชาย ใจดี,มาลี ศรีสุข", "cp874"), ("山田 太郎,佐藤 花子", "cp932"), (RUSSIAN, "cp1251")],
)
def test_words_of_other_scripts_are_no_accents(names, encoding):
    """Each script is named though windows-1252 has a letter for nearly every byte."""
    assert encoding_of(lines(names, encoding))[0] == encoding


def test_one_byte_that_windows_1252_lacks_is_seen_wherever_it_stands():
    """Also after the lines by which the letters are judged."""
    head = lines(",".join(["Jürgen"] * 300), "cp1252") + "7,Šťastný\n".encode("cp1250")
    assert "cp1252" not in encoding_of(head)[1]
    assert encoding_of(head)[0] == "cp1250"


@pytest.mark.parametrize(
    "head", [b"\x80", b"\x81", b"a\n\x80", b"\n\x81", b"\xff\n", b"\x80\x81\x8d\n"]
)
def test_next_to_nothing_is_named_all_the_same(head):
    """Any bytes have a name: it is a guess, and no row is read by it."""
    assert encoding_of(head)[0]
