"""Dirt in the sample's files that lands and that models must handle."""

import random
from collections.abc import Mapping
from pathlib import Path


def soil(folders: Mapping[str, Path]) -> None:
    """Adds lines that models have to drop, and baskets without a time."""
    chance = random.Random(8)
    path = folders["household"] / "transaction_data.csv"
    header, *lines = path.read_text().splitlines()
    names = header.upper().split(",")
    needed = ["HOUSEHOLD_KEY", "BASKET_ID", "PRODUCT_ID", "QUANTITY", "SALES_VALUE", "DAY"]
    for place in range(0, len(lines), 3):
        fields = lines[place].split(",")
        fields[names.index("TRANS_TIME")] = ""
        if place % 27 == 0:
            name = chance.choice([*needed, "WEEK_NO"])
            fields[names.index(name)] = chance.choice(["", "126"]) if name == "WEEK_NO" else ""
        lines[place] = ",".join(fields)
    path.write_text("\n".join([header, *lines]) + "\n")

    long = "".join(chance.choices("abcdefghij", k=6_000))
    with (folders["loyalty"] / "LoyaltyList.txt").open("a") as file:
        file.write(f"\n{long}@example.org, , , F\nfull@example.org, fb, in, {long}")
        file.write(f"\nfull@example.org, fb, , F\n{long[:243]}@example.org, , , F")
    with (folders["loyalty"] / "ClickConversion.txt").open("a") as file:
        file.write(f"\n{long}, ClickConversion, a@example.org, Facebook")
        file.write(f"\nP, ClickConversion, {long}@example.org, Facebook")
        file.write(f"\nP, ClickConversion, a@example.org, {long}")
    with (folders["loyalty"] / "PurchaseConversion.txt").open("a") as file:
        file.write("\nP, PurchaseConversion, a@example.org, [6], 9999999999.99")
        file.write("\nP, PurchaseConversion, a@example.org, [6], 10000000000")
