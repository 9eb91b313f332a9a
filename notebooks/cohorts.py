# %% [markdown]
# # Cohorts
#
# Accounts as a sequence of customers that stays in columns: [the Python gateway](../docs/gateway.md) reads the current
# release, filters it in milliseconds, and joins more to it for the customers that are left.

# %%
from datetime import date

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from pollux import Cohort, col

plt.style.use("pollux.mplstyle")
everyone = Cohort.init_all_customers()
pd.Series(everyone[0].to_dict(), name="the first of them").to_frame()

# %% [markdown]
# ## Part of them
#
# `where` takes values and conditions on columns; `generate_cohort` any function of a customer.

# %%
live = everyone.where(account_status="Live")
owners = live.where(
    col("sign_up_date") >= date(2024, 1, 1), property_occupier_status_at_sign_up="Owner"
)
referred = owners.generate_cohort(lambda customer: customer.referral_type == "Customer")
{"everyone": len(everyone), "live": len(live), "new owners": len(owners), "referred": len(referred)}

# %% [markdown]
# ## Who stays
#
# Of the accounts that went live in a year, the share that is still live so many months later. The last day of the data
# is that of the last churn; a line ends where the year's youngest accounts would be younger than that. In the sample the
# lines lie on one another: its accounts leave as readily whenever they came.

# %%
accounts = everyone.to_pandas()
accounts = accounts[accounts["account_status"].isin(["Live", "Churned"])]
start = pd.to_datetime(accounts["first_service_live_date"])
churn = pd.to_datetime(accounts["churn_date"])
end = churn.max()
months = (churn - start).dt.days / 30.44

figure, axes = plt.subplots()
for year in range(2015, 2025, 2):
    of_year = start.dt.year == year
    known = int((end - pd.Timestamp(year, 12, 31)).days / 30.44)
    span = np.arange(known + 1)
    gone = np.searchsorted(np.sort(months[of_year].dropna()), span, side="right")
    axes.plot(span, 1 - gone / of_year.sum(), label=f"{year}: {of_year.sum():,} accounts")
axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
axes.set(
    title="Share of accounts still live", xlabel="months since the first service", ylim=(0, 1.02)
)
axes.legend()
plt.show()

# %%
by_source = accounts.assign(is_live=churn.isna()).groupby("sign_up_source")["is_live"]
summary = by_source.agg(accounts="size", still_live="mean").sort_values("still_live")
summary.assign(still_live=summary["still_live"].map("{:.1%}".format))

# %% [markdown]
# ## What else is known of them
#
# Enrichments add other marts to a cohort, for its customers only: here cashback, month by month, of live accounts that
# came through another customer.

# %%
friends = live.where(referral_type="Customer")
cashback = friends.update_customers("cashback").data.to_pandas()
monthly = cashback.astype({"card_spend": float, "cashback_amount": float})
monthly = monthly.groupby("cashback_month").agg(
    customers=("account_number", "nunique"),
    spend=("card_spend", "sum"),
    back=("cashback_amount", "sum"),
)
figure, axes = plt.subplots()
axes.bar(pd.to_datetime(monthly.index), monthly["back"] / monthly["customers"], width=20)
axes.yaxis.set_major_formatter(lambda dollars, _: f"${dollars:,.2f}")
axes.set(title=f"Cashback of a month per customer ({len(friends):,} referred, live accounts)")
plt.show()

# %% [markdown]
# Each customer has its own rows, made when touched:

# %%
best = max(friends[:2000], key=lambda customer: customer.cashback_data.num_rows)
best.sign_up_date, best.sign_up_source, best.cashback_data.num_rows
