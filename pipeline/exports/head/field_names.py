"""Lists what exports call the fields of cards, in the languages they come in, the surest first.

Names are compared as `security_codes.squashed` gives them: without case, accents, blanks and signs.
"""

from __future__ import annotations

from typing import Final

from pipeline.exports.security_codes import squashed

# One kind of field a paragraph, one language or family a line; what is meant most surely first.
_WORDS: Final = {
    "number": """
        card number, credit card number, raw card number, cc number, card no, card num, cc num, pan
        primary account number, acct num, acct number, number, card, credit card, account number
        numero de tarjeta, numero tarjeta, tarjeta, numero do cartao, numero cartao, cartao
        numero de carte, numero carte, carte, kartennummer, kreditkartennummer, numero carta
        numero di carta, carta, kaartnummer, kortnummer, numer karty, cislo karty, kart numarasi
        หมายเลขบัตร, หมายเลขบัตรเครดิต, เลขบัตร, เลขที่บัตร, カード番号, クレジットカード番号, 卡号, 信用卡号, 卡號
        信用卡卡號, 银行卡号, nomor kartu, no kartu, nombor kad, số thẻ, 카드번호, номер карты
        kartennr, karten nr, kartennummern, kreditkartennr, kreditkarten nr, kreditkarte, kk nr, kk nummer, karte
        card nr, kortnr, kort nr, no carte, n carte, num carte, no tarjeta, n tarjeta, num tarjeta, no cartao
        num cartao, n cartao, n carta, nr karty, číslo platební karty, číslo karty, kártyaszám
        bankkártyaszám, kart no, kartnumarasi, kortin numero, kaardi number, numărul cardului, broj kartice
        številka kartice, αριθμός κάρτας, номер картки, номер на карта, מספר כרטיס, رقم البطاقة
    """,
    "name": """
        card holder, card holder name, name on card, card name, holder name, holder, owner name
        cardholder full name, account holder, nickname on card, name, full name, customer name
        display name, titular, nombre del titular, nombre titular, titular de la tarjeta, nombre
        nombre completo, nome do titular, nome titular, portador, nome impresso, nome completo, nome
        nom du porteur, nom porteur, titulaire, nom du titulaire, karteninhaber, inhaber
        name des karteninhabers, intestatario, titolare, kaarthouder, naam, kortinnehavare
        ชื่อบนบัตร, ชื่อผู้ถือบัตร, ผู้ถือบัตร, ชื่อลูกค้า, ชื่อ-นามสกุล, ชื่อ นามสกุล, ชื่อ, カード名義, カード名義人, 名義人, 名義
        氏名, 名前, 持卡人, 持卡人姓名, 姓名, nama pemegang kartu, pemegang kartu, nama, tên chủ thẻ, 이름
        имя держателя, держатель карты, имя, ชื่อ-สกุล, ชื่อและนามสกุล, nom et prenom, nom prenom, prenom nom
        vorname nachname, vor- und nachname, nachname vorname, nombre y apellidos, nome e cognome
        nome e sobrenome, imię i nazwisko, jméno a příjmení, meno a priezvisko, ime i prezime, ad soyad
        ad\u0131 soyad\u0131, adi soyadi, họ và tên, họ tên, фио, піб, ονοματεπώνυμο, שם מלא, الاسم الكامل, الاسم
        posiadacz karty, posiadacz, držitel karty, držitel, kortholder, kortindehaver, kortinnehaver
        kortinnehavaren, kártyabirtokos, kart sahibi, kortinhaltija, kortin haltija, titularul cardului
        vlasnik kartice, imetnik kartice, κάτοχος κάρτας, власник картки, картодържател, שם בעל הכרטיס
        κάτοχος, owner, acct name, chủ thẻ, nama pemegang, 소유자명, 소유자, 카드 소유자, 예금주, कार्डधारक का नाम, कार्डधारक, नाम
        اسم حامل البطاقة, kontoinhaber, kundenname, inhabername
    """,
    "first_name": """
        first name, given name, given names, fname, forename, vorname, rufname, nombres, prenom
        primeiro nome, primer nombre, nombre de pila, nome, nombre, voornaam, roepnaam, fornavn, förnamn
        etunimi, eesnimi, imię, imie, jméno, křestní jméno, meno, ime, keresztnév, utónév, prenume, vardas
        vārds, ad\u0131, adi, ad, isim, όνομα, имя, ім'я, име, שם פרטי, الاسم الأول, nama depan, nama pertama, tên
        tên đệm và tên, ชื่อจริง, ชื่อต้น, ชื่อตัว, 名, メイ, 名(漢字), 이름, पहला नाम
    """,
    "last_name": """
        last name, surname, family name, lname, second name, nachname, familienname, zuname, apellido
        apellidos, primer apellido, apellido paterno, sobrenome, último nome, apelido, nom de famille, nom
        cognome, cognoms, achternaam, familienaam, efternavn, etternavn, efternamn, sukunimi
        perekonnanimi, nazwisko, příjmení, priezvisko, prezime, priimek, vezetéknév, családnév, nume
        nume de familie, pavardė, uzvārds, soyad\u0131, soyadi, soyad, soyisim, επώνυμο, επίθετο, фамилия, прізвище
        שם משפחה, اسم العائلة, اللقب, nama belakang, nama keluarga, họ, họ và tên đệm
        นามสกุล, สกุล, 姓, 苗字, 名字, 姓氏, セイ, 성, 성씨, उपनाम
    """,
    "expiration_month": """
        exp month, expiry month, expiration month, expire month, expires month, card exp month
        valid to month, exp m, exp mm, expiry mm, mm, month
        mes de vencimiento, mes vencimiento, mes expiracion, mes caducidad, mes de caducidad
        mes de validade, mes validade, mes vencimento, mes, mois d'expiration, mois expiration, mois
        ablaufmonat, gultig bis monat, monat, mese scadenza, mese di scadenza, mese, vervalmaand
        maand, เดือนหมดอายุ, เดือนที่หมดอายุ, เดือน, 有効期限月, 有効期限 月, 月, 有效期月
        miesiąc ważności, miesiąc, měsíc platnosti, měsíc, utgångsmånad, utløpsmåned, udløbsmåned, månad, måned
        lejárat hónapja, lejárati hónap, hónap, son kullanma ay\u0131, ay, kuukausi, luna expirării, μήνας λήξης, μήνας
        місяць, bulan kedaluwarsa, 유효월, חודש תוקף, חודש, شهر الانتهاء, समाप्ति माह
        有效月, bulan kadaluarsa, bulan, tháng hết hạn, 만료월, месяц
    """,
    "expiration_year": """
        exp year, expiry year, expiration year, expire year, expires year, card exp year
        valid to year, exp y, exp yy, exp yyyy, expiry yy, expiry yyyy, yy, yyyy, year
        ano de vencimiento, ano vencimiento, ano expiracion, ano caducidad, ano de caducidad
        ano de validade, ano validade, ano vencimento, ano, annee d'expiration, annee expiration
        annee, ablaufjahr, gultig bis jahr, jahr, anno scadenza, anno di scadenza, anno, vervaljaar
        rok ważności, rok platnosti, rok, utgångsår, utløpsår, udløbsår, lejárat éve, lejárati év, év, son kullanma y\u0131l\u0131
        y\u0131l, vuosi, anul expirării, έτος λήξης, έτος, рік, tahun kedaluwarsa, 유효년, שנת תוקף, שנה, سنة الانتهاء, समाप्ति वर्ष
        jaar, ปีหมดอายุ, ปีที่หมดอายุ, ปี, 有効期限年, 有効期限 年, 年, 有效期年, 有效年
        tahun kadaluarsa, tahun, năm hết hạn, 만료년, год
    """,
    "expiration": """
        expiry, expiration, expiry date, expiration date, exp date, exp, expires, expires at, expires on
        valid thru, valid through, valid until, valid to, good thru, card expiry, card exp
        card expiration date, mm yy, exp mm yy, expiry mm yy, vencimiento, fecha de vencimiento
        fecha vencimiento, fecha expiracion, fecha de expiracion, caducidad, fecha de caducidad
        validade, data de validade, data validade, vencimento, data de vencimento, data expiracao
        date d'expiration, date expiration, expire le, validite, ablaufdatum, ablauf, gultig bis
        verfallsdatum, verfall, scadenza, data di scadenza, data scadenza, vervaldatum, geldig tot
        วันหมดอายุ, วันหมดอายุบัตร, หมดอายุ, วันที่หมดอายุ, 有効期限, 有效期, 有效期限, 到期日, masa berlaku
        berlaku hingga, tanggal kadaluarsa, ngày hết hạn, 유효기간, срок действия
        gueltig bis, gultig, gueltigkeit, gultigkeit, ablaufdat, verfalldatum, exp dat, expdt, udløb, udløbsdato
        utløp, utløpsdato, utgångsdatum, giltig till, gyldig til, voimassa, voimassaolo, ważna do
        data ważności, platnost do, platnost, platí do, lejárat, lejárati dátum, son kullanma tarihi
        son kullanma, skt, expira, vence, vto, fecha vto, expirare, data expirării, vrijedi do, velja do
        expiry yymm, exp yymm, expiry mmyy, exp mmyy, expiration mmyy, expiration yymm, exp mmyyyy, expiry mmyyyy, expiry yyyymm
        λήξη, समाप्ति, समाप्ति तिथि, kedaluwarsa, tanggal kedaluwarsa, hết hạn, 만료일, תאריך תפוגה
        ημερομηνία λήξης, термін дії, действует до, валидна до, תוקף, تاريخ الانتهاء
    """,
    "card_id": """
        legacy card id, card id, card token, legacy id, old card id, payment method id
        payment method token, payment instrument id, payment instrument, instrument id, pm id
        card ref, card reference, card key, card uuid, card guid, card external id, stored card id
        vault id, vault token, vault key, payment profile id, profile id, billing id, token
        source id, id de tarjeta, id tarjeta, id do cartao, id cartao, id carte, karten id, kartenid
        รหัสบัตร, カードid, 卡id, 卡片编号, id kartu
        karten ref, kartenreferenz, kartenschlussel, karten uid, id karty, kort id, kortid, kart id, kartya id
        identyfikator karty, kaart id, kártyaazonosító, kártya azonosító, kortin id, kaardi id, id card bancar, id kartice
        id карты, ид карты, идентификатор карты, id картки, ідентифікатор картки, κωδικός κάρτας, αναγνωριστικό κάρτας
        카드id, 카드 아이디, mã thẻ, מזהה כרטיס, معرف البطاقة, कार्ड आईडी, codice carta, id carta, cartao id, tarjeta id
    """,
    "row_id": """
        id, record id, row id, uuid, uid, guid, external id, external reference, external identifier
        reference, reference id, ref, key, identifier, legacy reference, echo data, audit reference id
        identificador, referencia, identifiant, kennung, รหัส, 番号, 编号, codice, kode, identyfikator
        azonosító, tunniste, идентификатор, ідентифікатор, αναγνωριστικό, κωδικός, 아이디, מזהה, المعرف, आईडी
    """,
    "customer": """
        legacy customer id, old customer id, customer id, customer ref, customer reference, customer
        customer number, customer no, customer key, customer token, customer uuid, cust id, cust no
        client id, user id, member id, account id, buyer id, shopper reference, shopper id, payer id
        subscriber id, patient id, buyer external identifier, cid, cus id, account
        id de cliente, id cliente, cliente, cliente id, numero de cliente, codigo cliente, id do cliente
        id client, client, numero client, kundennummer, kunden id, kundenid, kunde, codice cliente
        klantnummer, รหัสลูกค้า, เลขที่ลูกค้า, 顧客id, 顧客番号, 会員番号, 会員id, 客户id, 客户编号, 会员号
        id pelanggan, mã khách hàng, 고객번호, номер клиента
        kunden nr, kundennr, kd nr, kdnr, kunden no, kundenno, kundenkennung, kundenreferenz, mitgliedsnummer
        mitgliedsnr, mitglieds nr, customer nr, cust nr, customer num, cust num, client no, client nr, client number
        no client, n client, num client, code client, no cliente, n cliente, num cliente, cod cliente
        numero do cliente, id klienta, nr klienta, numer klienta, číslo zákazníka, zákazník, id zákazníka
        klantnr, klant nr, klant id, kundnr, kundnummer, kund id, kundenummer, kundenr, kunde id, asiakasnumero
        asiakas id, ügyfélszám, ügyfél id, müşteri no, müşteri id, id client, broj kupca, αριθμός πελάτη
        номер клієнта, id клиента, клиент, код клиента, מספר לקוח, رقم العميل, สมาชิก, รหัสสมาชิก, เลขสมาชิก
        membership number, membership no, member no, member number
    """,
    "customer_id": "omise customer id, omise customer, omise id",
    "is_default": """
        is default, default, default card, is default card, make default, is primary, primary, default source
        preferred, principal, predeterminada, por defecto, standardkarte, บัตรหลัก, 既定
    """,
    "email": """
        email, e-mail, email address, e-mail address, mail, customer email, shopper email, billing email
        buyer email, correo, correo electronico, courriel, adresse email, อีเมล, อีเมล์, メール
        メールアドレス, 邮箱, 电子邮件, surel
        e-posta, eposta, e-post, epost, e-postadress, e-mail adresse, mailadresse, emailadresse, adres e-mail
        adres email, e-mailová adresa, sähköposti, correo e, direccion de correo, endereco de email, courrier
        indirizzo email, e-mailadres, mejl, e-pasts, ηλεκτρονικό ταχυδρομείο, эл почта
        электронная почта, електронна пошта, אימייל, דואל, البريد الإلكتروني
    """,
    "phone_number": """
        phone number, phone, telephone, mobile, mobile number, mobile phone, cell, cell phone, tel
        contact number, telefono, celular, telefone, movil, téléphone, portable, telefon, handy
        telefonnummer, cellulare, telefoon, เบอร์โทร, เบอร์โทรศัพท์, โทรศัพท์, มือถือ, 電話番号, 电话, 手机, 手机号
        nomor telepon, no hp, số điện thoại, 전화번호, телефон
        telefonnr, telefon nr, tel nr, tel no, telefoonnummer, mobilnummer, mobil, mobiltelefon, handynummer, rufnummer
        tlf, telefonszám, puhelin, puhelinnumero, telefono movil, numero de telephone, n telephone, gsm
        telefon numarasi, τηλέφωνο, номер телефона, טלפון, الهاتف, رقم الهاتف
    """,
    "country": """
        country, country code, billing country, address country, country iso, country code alpha2
        country name, pais, pays, land, paese, ประเทศ, 国, 国家, negara, quốc gia, 국가, страна
        landeskennung, landercode, landcode, landeskurzel, staat, kraj, země, stát, krajina, ország, ülke, maa
        zemlja, država, drzava, țară, χώρα, країна, държава, מדינה, الدولة, البلد, pais iso, code pays
        codigo pais, codice paese
    """,
    "city": """
        city, town, locality, billing city, address city, ciudad, cidade, ville, ort, stadt, citta
        plaats, stad, เมือง, อำเภอ, เขต, 市区町村, 市, 城市, kota, thành phố, 도시, город
        wohnort, stadtname, miasto, miejscowość, město, mesto, obec, város, település, şehir, sehir
        postort, poststed, kaupunki, paikkakunta, oraș, grad, πόλη, місто, град, עיר, المدينة, localidad, poblacion
        localite, commune, municipio, localidade, comune, woonplaats
    """,
    "state": """
        state, province, region, state or province, billing state, address state, state code, estado
        provincia, bundesland, provincie, จังหวัด, 都道府県, 省, 省份, provinsi, tỉnh, область
    """,
    "postal_code": """
        postal code, zip code, zip, postal, postcode, post code, billing zip, address zip, billing postal code
        codigo postal, cep, code postal, plz, postleitzahl, cap, รหัสไปรษณีย์, 郵便番号, 邮编, 邮政编码
        kode pos, mã bưu điện, 우편번호, индекс
        postleitz, kod pocztowy, psč, irányítószám, posta kodu, postnr, postnummer, postinumero, cod poștal
        poštanski broj, poštna številka, ταχυδρομικός κώδικας, почтовый индекс, поштовий індекс, מיקוד
        الرمز البريدي, cod postal, code postale
    """,
    "street1": """
        street1, street, address line 1, address 1, address1, line1, address, street address
        billing street, billing address line1, address street, calle, direccion, endereco, rua, logradouro, adresse
        rue, strasse, indirizzo, via, straat, ที่อยู่, 住所, 番地, 地址, 街道, alamat, địa chỉ, 주소, адрес
        straße, strasse und hausnummer, anschrift, ulica, adres, utca, cím, sokak, adresse 1, gate, vej
        gatuadress, adress, katuosoite, osoite, domicilio, direccion 1, endereco 1, adresse postale, stradă
        adresa, διεύθυνση, οδός, улица, вулиця, כתובת, العنوان
    """,
    "street2": """
        street2, address line 2, address 2, address2, line2, extended address, apartment, suite
        complemento, complement, adresszusatz, 住所2, 建物名
    """,
}

RANKS: Final = {
    field: {
        squashed(word): rank
        for rank, word in reversed(
            [
                *enumerate(
                    word.strip() for word in words.replace("\n", ",").split(",") if word.strip()
                )
            ]
        )
    }
    for field, words in _WORDS.items()
}
"""For each kind of field the names it goes by, with how surely each is meant: 0 is the surest."""

PREFIXES: Final = tuple(
    sorted(
        map(
            squashed,
            (
                *(
                    "card",
                    "cards",
                    "credit card",
                    "cc",
                    "payment method",
                    "payment",
                    "method",
                    "pm",
                ),
                *(
                    "billing",
                    "billing address",
                    "billing details",
                    "address",
                    "traits",
                    "card data",
                ),
                *(
                    "cardholder",
                    "source",
                    "instrument",
                    "data",
                    "attributes",
                    "legacy",
                    "old",
                    "stored",
                ),
                *(
                    "customer",
                    "buyer",
                    "shopper",
                    "details",
                    "card details",
                    "fields",
                    "txt",
                    "str",
                ),
            ),
        ),
        key=len,
        reverse=True,
    )
)
"""What may stand before a name without changing what it means."""
