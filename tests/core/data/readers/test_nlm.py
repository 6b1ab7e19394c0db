"""Abstracts of PubMed and papers of PMC."""

from __future__ import annotations

import gzip
from pathlib import Path

from core.data.readers.nlm import read_pmc, read_pubmed
from core.data.tally import Tally

PUBMED = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2024//EN" "https://dtd.example/pubmed.dtd">
<PubmedArticleSet>
<PubmedArticle><MedlineCitation Status="MEDLINE"><PMID Version="1">101</PMID><Article PubModel="Print">
  <Journal><JournalIssue><PubDate><Year>1999</Year><Month>Mar</Month></PubDate></JournalIssue></Journal>
  <ArticleTitle>Iron in the blood of <i>stokers</i>.</ArticleTitle>
  <Abstract>
    <AbstractText Label="BACKGROUND" NlmCategory="BACKGROUND">Stokers breathe CO<sub>2</sub> &amp; dust.</AbstractText>
    <AbstractText Label="RESULTS">Iron rose
      by 5 %.</AbstractText>
    <CopyrightInformation>Copyright 1999 Rail Med.</CopyrightInformation>
  </Abstract>
  <Language>eng</Language></Article>
  <MeshHeadingList><MeshHeading><DescriptorName UI="D1">Iron</DescriptorName></MeshHeading>
  <MeshHeading><DescriptorName UI="D2">Railroads</DescriptorName><QualifierName>history</QualifierName></MeshHeading>
  </MeshHeadingList></MedlineCitation></PubmedArticle>
<PubmedArticle><MedlineCitation><PMID>102</PMID><Article><ArticleTitle>No abstract.</ArticleTitle></Article>
</MedlineCitation></PubmedArticle>
<PubmedArticle><MedlineCitation><PMID>103</PMID><Article>
  <Journal><JournalIssue><PubDate><MedlineDate>2001 Jan-Feb</MedlineDate></PubDate></JournalIssue></Journal>
  <ArticleTitle>Plain.</ArticleTitle><Abstract><AbstractText>One text.</AbstractText></Abstract>
</Article></MedlineCitation></PubmedArticle>
</PubmedArticleSet>"""

PMC = """<?xml version="1.0"?>
<!DOCTYPE article PUBLIC "-//NLM//DTD JATS 1.2//EN" "JATS-archivearticle1.dtd">
<article xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:mml="http://www.w3.org/1998/Math/MathML"
 article-type="research-article" xml:lang="en">
<front><journal-meta><journal-title>Rail Medicine</journal-title></journal-meta><article-meta>
  <article-id pub-id-type="pmc">123</article-id><article-id pub-id-type="pmid">456</article-id>
  <article-id pub-id-type="doi">10.1/x</article-id>
  <title-group><article-title>Dust and lungs<xref ref-type="fn" rid="f1">*</xref></article-title></title-group>
  <contrib-group><contrib><name><surname>Example</surname></name></contrib></contrib-group>
  <pub-date pub-type="epub"><year>2019</year></pub-date><pub-date pub-type="collection"><year>2020</year></pub-date>
  <permissions><license xlink:href="https://creativecommons.org/licenses/by/4.0/"><license-p>Free.</license-p>
  </license>
  </permissions>
  <abstract><sec><title>Aim</title><p>To weigh dust.</p></sec></abstract>
  <abstract abstract-type="graphical"><p>A picture.</p></abstract>
  <kwd-group><kwd>dust</kwd></kwd-group>
</article-meta></front>
<body>
  <sec><label>1</label><title>Introduction</title>
    <p>Dust harms [<xref ref-type="bibr" rid="b1">1</xref>, <xref ref-type="bibr" rid="b2">2</xref>] as
      <xref ref-type="bibr" rid="b3">Smith et al.</xref> found <xref ref-type="bibr" rid="b4">3</xref>. See
      <xref ref-type="fig" rid="g1">Figure 1</xref>.</p>
    <fig id="g1"><label>Figure 1</label><caption><p>A lung.</p></caption></fig>
    <p>Two things:<list list-type="bullet"><list-item><p>coal</p></list-item><list-item><p>ash</p></list-item></list>
    and no more.</p>
    <sec><title>Scales</title><p>We used scales<fn><p>Bought.</p></fn>.</p>
      <table-wrap><table><tr><td>7</td></tr></table></table-wrap></sec>
  </sec>
</body>
<back><ack><p>Thanks.</p></ack><ref-list><ref><mixed-citation>Someone 1900</mixed-citation></ref></ref-list></back>
</article>"""


def test_abstracts_come_with_labels_and_keys(tmp_path: Path) -> None:
    path = tmp_path / "pubmed24n0001.xml.gz"
    path.write_bytes(gzip.compress(PUBMED.encode()))
    tally = Tally("pubmed", 1.0)
    rows = list(read_pubmed(path, tally))
    assert rows[0].values == {
        "text": "Iron in the blood of stokers.\n\nBACKGROUND: Stokers breathe CO2 & dust.\n\n"
        "RESULTS: Iron rose by 5 %.",
        "title": "Iron in the blood of stokers.", "pmid": "101", "date": "1999", "mesh": ["Iron", "Railroads"],
        "language": "eng", "licence": "Copyright 1999 Rail Med.", "url": "https://pubmed.ncbi.nlm.nih.gov/101/",
    }  # fmt: skip
    assert (rows[1].values["text"], rows[1].values["date"]) == ("Plain.\n\nOne text.", "2001")
    assert (len(rows), tally.rows, tally.empty, tally.bad) == (2, 3, 1, {})


def test_papers_are_headings_and_paragraphs(tmp_path: Path) -> None:
    path = tmp_path / "PMC123.xml"
    path.write_text(PMC)
    tally = Tally("pmc", 1.0)
    [row] = read_pmc(path, tally)
    assert row.values.pop("text").split("\n\n") == [
        "Dust and lungs", "Aim", "To weigh dust.", "Introduction",
        "Dust harms as Smith et al. found. See Figure 1.",
        "Two things:", "- coal", "- ash", "and no more.", "Scales", "We used scales.",
    ]  # fmt: skip
    assert row.values == {
        "title": "Dust and lungs", "pmid": "456", "pmcid": "PMC123", "doi": "10.1/x", "date": "2019",
        "licence": "https://creativecommons.org/licenses/by/4.0/", "language": "en",
        "url": "https://pmc.ncbi.nlm.nih.gov/articles/PMC123/",
    }  # fmt: skip
    assert tally.rows == 1


def test_many_papers_in_one_file_and_one_without_text(tmp_path: Path) -> None:
    path = tmp_path / "set.xml"
    one = PMC[PMC.index("<article ") :]
    path.write_text(f"<pmc-articleset>{one}<article><front/></article><article><body></article>{one}</pmc-articleset>")
    tally = Tally("pmc", 1.0)
    assert [row.values["pmcid"] for row in read_pmc(path, tally)] == ["PMC123", "PMC123"]
    assert (tally.rows, tally.empty, tally.bad) == (4, 1, {"xml": 1})
