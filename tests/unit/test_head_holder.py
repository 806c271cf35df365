"""`init` never takes half a name: given name and surname belong together, or it is unsure."""

from __future__ import annotations

from datetime import date

import pytest

from pipeline.exports.head.fields import recognised

GIVEN = ["Ann", "Bob", "Cid", "Dana", "Eve", "Fay"]
SURNAMES = ["Lee", "Roe", "Ray", "Poe", "Fox", "Kim"]
WHOLE = [f"{given} {surname}" for given, surname in zip(GIVEN, SURNAMES, strict=True)]
THAI = ["สมชาย", "มาลี", "วิชัย", "อรุณ", "นภา", "กิตติ"]
THAI_SURNAMES = ["ใจดี", "ศรีสุข", "ทองดี", "บุญมี", "รัตนกุล", "จิตต์"]


def names_of(columns):
    """Say what is known of the names: what is sure, and else the candidates."""
    found = recognised(columns, date(2026, 11, 27))
    return found.sure.get("name"), found.unsure.get("name", ())


@pytest.mark.parametrize(
    "pair",
    [
        ("ชื่อ", "นามสกุล"),
        ("name", "surname"),
        ("Vorname", "Name"),
        ("Vorname", "Nachname"),
        ("Prénom", "Nom"),
        ("Nombre", "Apellidos"),
        ("Nome", "Cognome"),
        ("Voornaam", "Achternaam"),
        ("Imię", "Nazwisko"),
        ("Jméno", "Příjmení"),
        ("Keresztnév", "Vezetéknév"),
        ("Ad\u0131", "Soyad\u0131"),
        ("Имя", "Фамилия"),
        ("Förnamn", "Efternamn"),
        ("Nama Depan", "Nama Belakang"),
        ("Tên", "Họ"),
        ("名", "姓"),
        ("이름", "성"),
        ("Όνομα", "Επώνυμο"),
        ("שם פרטי", "שם משפחה"),
        ("الاسم الأول", "اسم العائلة"),
    ],
)
def test_a_surname_beside_a_given_name_is_part_of_the_name(pair):
    """In whatever order they stand, given name first is what is sent."""
    given, surname = pair
    assert names_of({given: GIVEN, surname: SURNAMES}) == (pair, ())
    assert names_of({surname: SURNAMES, "id": list("123456"), given: GIVEN}) == (pair, ())


def test_scripts_without_capitals_are_words_too():
    """A Thai name column of one word and its surname column are joined."""
    assert names_of({"ชื่อ": THAI, "นามสกุล": THAI_SURNAMES}) == (("ชื่อ", "นามสกุล"), ())


@pytest.mark.parametrize("name", ["name", "ชื่อ", "cardholder_name", "titulaire"])
def test_single_words_beside_an_unknown_column_of_words_are_unsure(name):
    """The column may be the rest of the name in a language that we do not know."""
    sure, candidates = names_of({name: GIVEN, "perheen_nimi": SURNAMES, "city": WHOLE})
    assert sure is None
    assert candidates == ((name, "perheen_nimi"), name)


@pytest.mark.parametrize(
    "beside",
    [
        {"city": SURNAMES},
        {"status": ["active"] * 6},
        {"remark": [f"{name} called and asked for a copy" for name in GIVEN]},
        {"herkunft": ["Thailand", "Germany", "Japan", "France", "Italy", "Spain"]},
    ],
)
def test_single_words_beside_something_else_are_the_name(beside):
    """Cities, states of a row, remarks and countries are no surnames."""
    assert names_of({"name": GIVEN, **beside}) == ("name", ())


def test_a_whole_name_is_not_joined_with_its_own_surname():
    """Neither beside the surname alone nor beside both parts."""
    assert names_of({"holder": WHOLE, "surname": SURNAMES}) == ("holder", ())
    assert names_of({"holder": WHOLE, "first_name": GIVEN, "last_name": SURNAMES}) == ("holder", ())
    assert names_of({"nombre": WHOLE, "apellidos": SURNAMES}) == ("nombre", ())


def test_whole_names_beside_another_surname_are_unsure():
    """A cardholder beside the surname of a customer, or given names of two words: a person knows."""
    others = [*SURNAMES[1:], SURNAMES[0]]
    assert names_of({"cardholder_name": WHOLE, "surname": others}) == (
        None,
        ("cardholder_name", ("cardholder_name", "surname")),
    )


def test_whole_names_in_one_column_need_nothing_beside_them():
    """Ideographs are whole names without a blank; an unknown column of words changes nothing."""
    assert names_of({"holder": WHOLE, "region_of_sales": SURNAMES}) == ("holder", ())
    chinese = ["张小明", "李小红", "王大伟", "陈美丽", "刘志强", "赵子龙"]
    assert names_of(
        {"姓名": chinese, "备注": ["北京", "上海", "广州", "深圳", "杭州", "成都"]}
    ) == ("姓名", ())
