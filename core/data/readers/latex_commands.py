"""What LaTeX's commands stand for in plain text. Commands that are not here leave their arguments' text."""

from __future__ import annotations

SYMBOLS = {
    "``": "“", "''": "”", '"`': "„", "\"'": "“", "---": "—", "--": "–", "-": "-",
    "ldots": "…", "dots": "…", "textellipsis": "…", "LaTeX": "LaTeX", "TeX": "TeX", "LaTeXe": "LaTeX2e",
    "BibTeX": "BibTeX", "copyright": "©", "S": "§", "P": "¶", "dag": "†", "ddag": "‡", "pounds": "£",
    "textdegree": "°", "texttrademark": "™", "textregistered": "®", "ss": "ß", "o": "ø", "O": "Ø", "ae": "æ",
    "AE": "Æ", "oe": "œ", "OE": "Œ", "aa": "å", "AA": "Å", "l": "ł", "L": "Ł", "i": "ı", "j": "ȷ", "dh": "ð",
    "DH": "Ð", "th": "þ", "TH": "Þ", "textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^",
    "textunderscore": "_", "textbar": "|", "textless": "<", "textgreater": ">", "textendash": "–",
    "textemdash": "—", "textquoteleft": "‘", "textquoteright": "’", "textquotedblleft": "“", "lq": "‘", "rq": "’",
    "textquotedblright": "”", "guillemotleft": "«", "guillemotright": "»", "quad": " ", "qquad": " ", "space": " ",
    "textquotesingle": "'", "textbullet": "•", "texteuro": "€", "euro": "€", "slash": "/", "and": ", ", "par": "\n\n",
    "newline": "\x02", "linebreak": "\x02", "bigskip": "\n\n", "medskip": "\n\n", "smallskip": "\n\n", "xspace": "",
}  # fmt: skip
ACCENTS = {
    "`": "\u0300", "'": "\u0301", "^": "\u0302", "~": "\u0303", "=": "\u0304", "u": "\u0306", ".": "\u0307",
    '"': "\u0308", "r": "\u030a", "H": "\u030b", "v": "\u030c", "d": "\u0323", "c": "\u0327", "k": "\u0328",
    "b": "\u0331",
}  # fmt: skip
REFERENCES = frozenset({
    "cite", "citep", "citet", "citealt", "citealp", "citeauthor", "citeyear", "citeyearpar", "Citet", "Citep",
    "parencite", "textcite", "autocite", "footcite", "nocite", "ref", "eqref", "cref", "Cref", "crefrange", "autoref",
    "pageref", "vref", "Vref", "nameref", "subref", "fref", "Fref", "hyperlinkref", "labelcref", "cpageref",
})  # fmt: skip
SECTIONS = frozenset({"part", "chapter", "section", "subsection", "subsubsection", "paragraph", "subparagraph"})
THEOREMS = {
    "theorem": "Theorem", "thm": "Theorem", "lemma": "Lemma", "lem": "Lemma", "proposition": "Proposition",
    "prop": "Proposition", "corollary": "Corollary", "cor": "Corollary", "definition": "Definition",
    "defn": "Definition", "defi": "Definition", "remark": "Remark", "rmk": "Remark", "rem": "Remark",
    "example": "Example", "eg": "Example", "exercise": "Exercise", "ex": "Exercise", "conjecture": "Conjecture",
    "conj": "Conjecture", "claim": "Claim", "fact": "Fact", "axiom": "Axiom", "proof": "Proof", "notation": "Notation",
    "question": "Question", "problem": "Problem", "assumption": "Assumption", "observation": "Observation",
    "note": "Note",
}  # fmt: skip
ARGUMENTS = {
    # Commands that are left out with so many arguments; "begin x": those of an environment.
    **dict.fromkeys(
        ("label", "index", "indexdef", "indexfoot", "glossary", "vspace", "hspace", "pagenumbering", "pagestyle",
         "thispagestyle", "bibliography", "bibliographystyle", "includegraphics", "usepackage", "documentclass",
         "input", "include", "color", "hypertarget", "phantom", "hphantom", "vphantom", "title", "author", "date",
         "thanks", "affiliation", "email", "address", "institute", "keywords", "caption", "graphicspath", "newtheorem",
         "theoremstyle", "stepcounter", "refstepcounter", "markright", "tableofcontents", "bibitem", "includepdf",
         "RequirePackage", "hyphenation", "nocite", "newcounter", "newlength", "newif", "captionsetup", "hypersetup",
         "geometry", "enlargethispage", "footnotemark", "subjclass", "mathchardef", "usetikzlibrary",
         "ensuremathonly", "arxivnumber", "newblock", "linespread", "selectlanguage", "vskip", "hskip", "symlabel",
         "addbibresource", "printbibliography", "ccsdesc", "acmConference", "affil", "orcid", "titlerunning",
         "authorrunning", "setlist", "itshape", "DeclareUnicodeCharacter", "allowdisplaybreaks", "pacs", "dedicatory"),
        1,
    ),
    **dict.fromkeys(
        ("setcounter", "addtocounter", "setlength", "addtolength", "markboth", "indexsee", "rule", "definecolor",
         "settowidth", "newenvironmentname", "numberwithin", "fontsize", "DeclareMathAlphabet", "setlist",
         "PassOptionsToPackage", "AtBeginEnvironment", "newsavebox", "crefname", "Crefname", "titleformat",
         "newcommand", "renewcommand", "providecommand"),
        2,
    ),
    **dict.fromkeys(("addcontentsline", "newenvironment", "renewenvironment", "definecolor", "titlespacing"), 3),
    **dict.fromkeys(("begin minipage", "begin multicols", "begin tabular", "begin list", "begin spacing",
                     "begin adjustbox", "begin subtable", "begin CJK", "begin otherlanguage"), 1),
    **dict.fromkeys(("begin adjustwidth", "begin CJK"), 2),
}  # fmt: skip
KEPT_LAST = {
    # Commands of which only the last argument is text: how many come before it.
    "href": 1, "textcolor": 1, "colorbox": 1, "fcolorbox": 2, "resizebox": 2, "scalebox": 1, "raisebox": 1,
    "parbox": 1, "makebox": 0, "hyperlink": 1, "texorpdfstring": 1, "foreignlanguage": 1, "multicolumn": 2,
    "rotatebox": 1, "fontfamily": 1, "defineTerm": 0, "hyperref": 0,
}  # fmt: skip
