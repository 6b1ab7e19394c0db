"""English words that are split, or kept whole, against the rules: as spaCy 3.8 has them (lang/en, MIT)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

_WORDS_WITH_A_STOP = """
a. b. c. d. e. f. g. h. i. j. k. l. m. n. o. p. q. r. s. t. u. v. w. x. y. z. ä. ö. ü.
Mt. Ak. Ala. Apr. Ariz. Ark. Aug. Calif. Colo. Conn. Dec. Del. Feb. Fla. Ga. Ia. Id. Ill. Ind. Jan. Jul. Jun. Kan.
Kans. Ky. La. Mar. Mass. Mich. Minn. Miss. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. Nov. Oct. Okla. Ore. Pa. S.C.
Sep. Sept. Tenn. Va. Wash. Wis. a.m. Adm. Bros. co. Co. Corp. D.C. Dr. e.g. E.g. E.G. Gen. Gov. i.e. I.e. I.E. Inc.
Jr. Ltd. Md. Messrs. Mo. Mont. Mr. Mrs. Ms. p.m. Ph.D. Prof. Rep. Rev. Sen. St. vs. v.s.
"""
_WORDS_WITH_AN_APOSTROPHE = """
' '' 'S 's ‘S ‘s 're 'Cause 'cause 'cos 'Cos 'coz 'Coz 'cuz 'Cuz 'bout 'd 'em 'll 'nuff ma'am Ma'am o'clock O'clock
lovin' Lovin' havin' Havin' doin' Doin' goin' Goin' nothin' Nothin' nuthin' Nuthin' ol' Ol' somethin' Somethin'
"""
_OTHER_WHOLE_WORDS = r"""\t \n — <space> C++ and/or w/o \")"""
_FACES = r"""
:) :-) :)) :-)) :))) :-))) (: (-: =) (= :] :-] [: [-: [= =] :o) (o: :} :-} 8) 8-) (-8 ;) ;-) (; (-; :( :-( :(( :-((
:((( :-((( ): )-: =( >:( :') :'-) :'( :'-( :/ :-/ =/ =| :| :-| ]= =[ :1 :P :-P :p :-p :O :-O :o :-o :0 :-0 :() >:o :*
:-* :3 :-3 =3 :> :-> :X :-X :x :-x :D :-D ;D ;-D =D xD XD xDD XDD 8D 8-D ^_^ ^__^ ^___^ >.< >.> <.< ._. ;_; -_- -__-
v.v V.V v_v V_V o_o o_O O_o O_O 0_o o_0 0_0 o.O O.o O.O o.o 0.0 o.0 0.o @_@ <3 <33 <333 </3 (^_^) (-_-) (._.) (>_<)
(*_*) (¬_¬) ಠ_ಠ ಠ︵ಠ (ಠ_ಠ) ¯\(ツ)/¯ (╯°□°）╯︵┻━┻ ><(((*>
"""
_ODD_SPLITS = """
y'|all y|all how|'d|'y How|'d|'y not|'ve not|ve Not|'ve Not|ve can|not Can|not gon|na Gon|na got|ta Got|ta let|'s Let|'s
c'm|on C'm|on
"""
_NOT_SPLIT = "Ill ill Its its Hell hell Shell shell Shed shed were Were Well well Whore whore"

_AFTER_ANY_PRONOUN = "'ll 'll|'ve 'd 'd|'ve"
_PRONOUNS = [
    ("i", f"'m 'm|a 've {_AFTER_ANY_PRONOUN}"),
    ("you we they", f"'re 've {_AFTER_ANY_PRONOUN}"),
    ("he she it", f"'s {_AFTER_ANY_PRONOUN}"),
    ("who what when where why how there", f"'s 're 've {_AFTER_ANY_PRONOUN}"),
    ("that this", f"'s {_AFTER_ANY_PRONOUN}"),
    ("these those", f"'re 've {_AFTER_ANY_PRONOUN}"),
    ("ca could do does did had may might must need ought sha should wo would", "n't n't|'ve"),
    ("could might must should would", "'ve"),
    ("ai are is was were have has dare", "n't"),
]


def _contractions() -> Iterator[str]:
    for words, endings in _PRONOUNS:
        for word, ending in product(words.split(), endings.split()):
            for written in (ending, ending.replace("'", "")):
                yield f"{word}|{written}"
                yield f"{word.title()}|{written}"
    for hour, half in product(range(1, 13), ("a.m.", "am", "p.m.", "pm")):
        yield f"{hour}|{half}"
    for kind, scale in product("°", "cfkCFK"):
        yield f"{kind}|{scale}|."
    yield from _ODD_SPLITS.split()


def _splits() -> dict[str, tuple[str, ...]]:
    known = {word.replace("|", ""): tuple(word.split("|")) for word in _contractions()}
    whole = f"{_WORDS_WITH_A_STOP} {_WORDS_WITH_AN_APOSTROPHE} {_OTHER_WHOLE_WORDS}".split()
    known.update({word: (word,) for word in whole})
    # The same with the other apostrophe.
    known.update({word.replace("'", "’"): tuple(part.replace("'", "’") for part in parts)
                  for word, parts in known.items()})  # fmt: skip
    known.update({face: (face,) for face in _FACES.split()})
    left_out = _NOT_SPLIT.split()
    return {word: parts for word, parts in known.items() if word not in left_out}


SPLITS = _splits()
"""Word: its parts; words that are kept whole have one part."""
