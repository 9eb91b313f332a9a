# %% [markdown]
# # Vouchers
#
# Which vouchers were assigned to whom, and how sure is the choice that the API makes of them? Everything here is read from
# the marts of the domain `customer`, which `pollux up` serves.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

plt.style.use("pollux.mplstyle")
API = f"http://127.0.0.1:{os.environ.get('POLLUX_API_PORT', '8000')}"


def mart(name):
    """A mart of the current release as a data frame."""
    return pd.read_parquet(f"{API}/v1/marts/customer/{name}/parquet")


assignments = mart("voucher_assignment_segmented")
assignments["voucher_amount"] = assignments["voucher_amount"].astype(float)
ranking = mart("voucher_ranking")
ranking["voucher_amount"] = ranking["voucher_amount"].astype(float)

# %% [markdown]
# ## Which rows count
#
# A row counts if its number of orders is a whole number above 0 and its times are in order. What was left out, and why:

# %%
cleaning = mart("voucher_cleaning_report").sort_values("rows", ascending=False)
cleaning.set_index("outcome")

# %% [markdown]
# ## How customers order
#
# The segments of frequency end with 37 orders. Whoever orders more often is in none, and gets the country's voucher.

# %%
orders = assignments["total_orders"].clip(upper=60)
figure, axes = plt.subplots()
axes.hist(orders, bins=range(1, 62), color="C0")
for bound, name in ((4.5, "0-4"), (13.5, "5-13"), (37.5, "14-37")):
    axes.axvline(bound, color="C1", linewidth=1)
    axes.annotate(
        name, (bound - 0.4, 1), xycoords=("data", "axes fraction"), ha="right", color="C1"
    )
axes.set_title("Assignments by orders so far", pad=20)
axes.set(xlabel="orders (60: 60 and more)", ylabel="assignments")
plt.show()

# %%
days = (assignments["timestamp"] - assignments["last_order_ts"]).dt.days.clip(upper=400)
figure, axes = plt.subplots()
axes.hist(days, bins=range(0, 411, 10), color="C0")
for bound in (30, 61, 91, 121, 181):
    axes.axvline(bound, color="C1", linewidth=1)
axes.set(
    title="Assignments by days since the last order; lines: where segments of recency begin",
    xlabel="days (400: 400 and more)",
    ylabel="assignments",
)
plt.show()

# %% [markdown]
# ## Which amount is used most
#
# Each country has amounts of its own. For each, how its assignments spread over them, the one used most first:

# %%
countries = ranking[ranking["segment_name"] == "country"].sort_values("rank")
figure, axes = plt.subplots()
shades = plt.get_cmap("YlGnBu_r")(np.linspace(0.35, 0.9, countries["rank"].max()))
for country, amounts in countries.groupby("country_code", sort=False):
    left = amounts["share"].cumsum() - amounts["share"]
    bars = axes.barh([country] * len(amounts), amounts["share"], left=left, color=shades)
    labels = amounts["voucher_amount"].map("{:,.0f}".format).where(amounts["share"] > 0.06, "")
    axes.bar_label(bars, labels, label_type="center")
axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
axes.set(title="Share of each voucher amount, by country", xlim=(0, 1))
plt.show()

# %% [markdown]
# The voucher that `/v1/vouchers/select` chooses for each segment is the one used most there. In brackets its share: the
# smaller it is, the closer the runner-up.

# %%
first = ranking[(ranking["rank"] == 1) & (ranking["segment_name"] != "country")]
chosen = first["voucher_amount"].map("{:,.0f}".format) + first["share"].map(" ({:.0%})".format)
begins = first["segment"].str.extract(r"(\d+)", expand=False).astype(int)
table = first.assign(chosen=chosen, begins=begins).sort_values(["segment_name", "begins"])
table.pivot_table(
    index=["segment_name", "segment"],
    columns="country_code",
    values="chosen",
    aggfunc="first",
    sort=False,
)

# %% [markdown]
# ## How many were sent none
#
# Some customers were assigned no voucher. They do not count in the choice; a country where they are many is one to look at.

# %%
without = assignments["voucher_amount"].isna().groupby(assignments["country_code"]).mean()
without.rename("share without a voucher").to_frame().map("{:.1%}".format)
