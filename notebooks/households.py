# %% [markdown]
# # Households
#
# Who are the best customers, who is about to leave, and what do they spend? Recency, frequency and monetary value (RFM)
# give each household a [segment](../docs/segments.md) with a name. Everything here is read from the marts of the domain
# `household`, which `pollux up` serves.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

plt.style.use("pollux.mplstyle")
API = f"http://127.0.0.1:{os.environ.get('POLLUX_API_PORT', '8000')}"


def mart(name):
    """A mart of the current release as a data frame, money as numbers."""
    frame = pd.read_parquet(f"{API}/v1/marts/household/{name}/parquet")
    return frame.assign(total_sales=frame["total_sales"].astype(float))


segments = mart("household_segments")
sizes = mart("segment_sizes")
moves = mart("segment_moves")
names = sizes.sort_values("position")["segment"].unique()

# %% [markdown]
# ## Segments today

# %%
today = sizes[sizes["is_latest"]].set_index("segment").loc[names]
figure, axes = plt.subplots(figsize=(8, 4.5))
place = np.arange(len(today))
axes.barh(place - 0.2, today["share"], height=0.4, label="of households")
axes.barh(place + 0.2, today["sales_share"], height=0.4, label="of sales")
axes.set_yticks(place, today.index)
axes.invert_yaxis()
axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
axes.set(title="Share of each segment")
axes.legend()
plt.show()

# %%
today[["meaning", "households", "total_sales"]].assign(
    total_sales=today["total_sales"].map("{:,.0f}".format)
)

# %% [markdown]
# ## Where they are on the grid
#
# Recency from left (long away) to right (here now), frequency from below to the top. Each cell has its households and
# their mean sales in dollars.

# %%
cells = segments.groupby(["f_score", "r_score"])["total_sales"].agg(["size", "mean"])
cells = cells.reindex(pd.MultiIndex.from_product([range(5, 0, -1), range(1, 6)]), fill_value=0)
figure, axes = plt.subplots(figsize=(6, 4.5))
counts = cells["size"].to_numpy().reshape(5, 5)
axes.imshow(counts, aspect="auto")
for (f_score, r_score), (households, sales) in cells.iterrows():
    if households:
        colour = "white" if households > counts.max() / 2 else "black"
        text = f"{households:.0f}\n${sales:,.0f}"
        axes.text(r_score - 1, 5 - f_score, text, ha="center", va="center", color=colour)
axes.set_xticks(range(5), range(1, 6))
axes.set_yticks(range(5), range(5, 0, -1))
axes.set(title="Households and their mean sales", xlabel="recency", ylabel="frequency")
plt.show()

# %% [markdown]
# ## How shares move
#
# The segments as of the end of every four weeks, by what was known then.

# %%
history = sizes.pivot_table(index="period_end_date", columns="segment", values="share")[names]
days = pd.to_datetime(history.index)
figure, axes = plt.subplots(figsize=(9, 4.5))
colours = plt.get_cmap("Spectral_r")(np.linspace(0, 1, len(names)))
axes.stackplot(days, history.T, labels=names, colors=colours)
axes.set(title="Share of households, by segment", xlim=(days[0], days[-1]), ylim=(0, 1))
axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
handles, labels = axes.get_legend_handles_labels()
axes.legend(handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# Who moved in the last four weeks, and where from:

# %%
last = moves[moves["period_end"] == moves["period_end"].max()]
moved = last[last["from_segment"] != last["to_segment"]]
table = moved.pivot_table(
    index="from_segment", columns="to_segment", values="households", aggfunc="sum", fill_value=0
)
table.reindex(
    index=[name for name in names if name in table.index],
    columns=[name for name in names if name in table.columns],
)

# %% [markdown]
# ## Whom to write to
#
# Households that spent much and stay away, the dearest first, each with the reason in words. The same list comes
# from the API: `/v1/segments/at%20risk/households?sort=-total_sales`.

# %%
leaving = segments[segments["segment"].isin(["At risk", "Cannot lose them"])]
leaving = leaving.sort_values("total_sales", ascending=False).head(10)
leaving[["household_key", "segment", "since_date", "total_sales", "why"]].set_index("household_key")
