"""What a frame is as CSV: readable for spreadsheets and for everything else."""

import codecs
import csv
import io

import pandas as pd

from data_access.export import safe_csv


def test_csv_opens_in_excel_and_in_other_readers() -> None:
    body = safe_csv(pd.DataFrame({"größe": [1, 2], "text": ["Zoë “ÿ”", "=1+1"]}))
    assert body.startswith(codecs.BOM_UTF8) and body.count(codecs.BOM_UTF8) == 1
    frame = pd.read_csv(io.BytesIO(body))
    assert frame.to_dict("list") == {"größe": [1, 2], "text": ["Zoë “ÿ”", "'=1+1"]}
    rows = list(csv.reader(io.StringIO(body.decode("utf-8-sig"))))
    assert rows == [["größe", "text"], ["1", "Zoë “ÿ”"], ["2", "'=1+1"]]
