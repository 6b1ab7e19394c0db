"""LaTeX as plain text."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from core.data.readers.latex_text import latex_title, latex_to_text

PAPER = r"""\documentclass[a4paper]{article}
\usepackage{amsmath} % a comment
\newcommand{\eng}{steam engine}
\newcommand{\norm}[1]{\lVert #1\rVert}
\newcommand{\greet}[2][Good day]{#1, #2}
\def\R{\mathbb{R}}
\DeclareMathOperator{\argmin}{arg\,min}
\title{On \eng s\thanks{Paid by us}}
\author{A. Example}
\begin{document}
\maketitle
\begin{abstract}We study \eng s.\end{abstract}
\section{Introduction}\label{sec:intro}
The \emph{engine}~\cite{a,b} of Erd\H{o}s, Poincar\'e and Fran\c{c}ois costs 5\% --- or \$3; see Section~\ref{sec:x}.
As \citet{c} says, ``it runs''.\footnote{Not in winter.} % hidden
\greet{Tom} and \greet[Hello]{Ann}.

\begin{figure}[t]\includegraphics{a}\caption{A picture}\end{figure}
For $x \in \R$ let \(y = \norm{x}\) and
\begin{equation}\label{eq:a}
  y = \argmin_x f(x) % why
\end{equation}
so that
\[ a = b. \]
\begin{theorem}[Main] It holds. \end{theorem}
\begin{proof} By \eqref{eq:a}. \end{proof}
\begin{itemize}
  \item coal
  \item[ash] grey
\end{itemize}
\begin{verbatim}
  50% \raw $x
\end{verbatim}
Use \verb|a_b| and \href{http://a.example}{this page}, \textcolor{red}{now}.
\bibliography{refs}
\begin{thebibliography}{9}\bibitem{a} Someone.\end{thebibliography}
\end{document}
after the end"""


def test_a_paper_is_what_its_reader_reads() -> None:
    assert latex_to_text(PAPER).split("\n\n") == [
        "We study steam engines.",
        "Introduction",
        "The engine of Erdős, Poincaré and François costs 5% — or $3; see Section [ref]. As [ref] says, “it runs”. "
        "(Not in winter.) Good day, Tom and Hello, Ann.",
        "For $x \\in \\mathbb{R}$ let $y = \\lVert x\\rVert$ and\n"
        "\\begin{equation}y = \\operatorname{arg\\,min}_x f(x)\\end{equation}\nso that\n$$a = b.$$",
        "Theorem (Main). It holds.",
        "Proof. By [ref].",
        "- coal\n- ash grey",
        "  50% \\raw $x",
        "Use a_b and this page, now.",
    ]


def test_the_title_is_plain() -> None:
    assert latex_title(PAPER) == "On steam engines"
    assert latex_title("no title here") == ""


def test_definitions_alone_are_no_text() -> None:
    macros = "% Macros\n\\newcommand{\\a}{text of a}\n\\def\\b#1{more #1}\n\\let\\c\\a\n\\newtheorem{thm}{Theorem}\n"
    assert latex_to_text(macros) == ""


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a { b", "a b"),
        ("a } b $ c", "a b $ c"),
        ("\\begin{figure} never closed", "never closed"),
        ("\\begin{equation} x = 1", "x = 1"),
        ("\\section{Open", "Open"),
        ("\\", "\\"),
        ("100\\% sure % not\n  of it", "100% sure of it"),
        ("one\\\\[2mm]two", "one\ntwo"),
        ("\\unknown[opt]{kept} \\alsounknown rest", "kept rest"),
        ("\\begin{narrowmultline*} a \\\\ b \\end{narrowmultline*}",
         "\\begin{narrowmultline*}a \\\\ b\\end{narrowmultline*}"),
        ("x (see \\cite{a}) y", "x y"),
        ("\\index{engine!steam}Steam\\index{steam}", "Steam"),
        ("\\newcommand{\\loop}{\\loop\\loop}\na\\loop b\nc", "a b c"),
    ],
)  # fmt: skip
def test_small_and_broken_pieces(source: str, text: str) -> None:
    assert latex_to_text(source) == text


def test_definitions_that_multiply_do_not() -> None:
    letters = "abcdefghijklmnopqrstuvwxy"
    many = "".join(f"\\newcommand{{\\{one}}}{{" + f"\\{two}" * 10 + "}" for one, two in pairwise(letters))
    began = time.process_time()
    assert len(latex_to_text(many + "\\begin{document}\\a\\a\\a\\end{document}")) < 10**7
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    "piece",
    ["{", "$", "\\[", "\\begin{equation}", "\\newcommand{\\a}[1]{", "\\'{", "\\href{", "\\begin{", "\\def\\a{", "%"],
)
def test_time_does_not_grow_with_the_square(piece: str) -> None:
    began = time.process_time()
    latex_to_text(piece * (100_000 // len(piece)))
    assert time.process_time() - began < 4
