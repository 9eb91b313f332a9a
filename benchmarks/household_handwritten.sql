-- The household marts as one would write them by hand for DuckDB, in one script, to compare the
-- project's models with. {landing}/name stands for the landed dataset of that name, {sections}
-- for the reference file of commodities.

create table products as
select
    p.product_id, p.manufacturer, nullif(trim(p.department), '') as department,
    nullif(trim(p.brand), '') as brand, nullif(trim(p.commodity_desc), '') as commodity,
    nullif(trim(p.sub_commodity_desc), '') as sub_commodity,
    nullif(trim(p.curr_size_of_product), '') as size, coalesce(s.section, 'misc') as section
from {landing}/product p
left join {sections} s on trim(p.commodity_desc) = s.commodity_desc;

create temp table lines as
with kept as (
    select t.household_key, t.basket_id, t.product_id, t.store_id, t.quantity, t.sales_value,
        t.day::integer as day, t.week_no::integer as week_no
    from {landing}/transaction_data t
    join products p on t.product_id = p.product_id
        and p.sub_commodity is distinct from 'GASOLINE-REG UNLEADED'
    where t.quantity > 0 and t.sales_value > 0 and t.day between 101 and 708
)
select * from kept
where household_key in (
    select household_key from kept group by 1 having min(day) < max(day)
);

create table household_cleaning_report as
with judged as (
    select case
            when t.household_key is null or t.basket_id is null or t.product_id is null
                or t.quantity is null or t.sales_value is null or t.day is null then 'blank field'
            when t.quantity <= 0 or t.sales_value <= 0 then 'nothing bought or paid'
            when t.day not between 101 and 708 then 'outside the days in scope'
            when t.week_no not between 0 and 125 then 'outside the weeks in scope'
            when p.product_id is null then 'unknown product'
            when p.sub_commodity = 'GASOLINE-REG UNLEADED' then 'fuel'
            else 'kept'
        end as outcome, count(*) as lines
    from {landing}/transaction_data t left join products p on p.product_id = t.product_id
    group by 1
), kept as (
    select count(*) as lines from lines
), outcomes as (
    select unnest(['kept', 'blank field', 'nothing bought or paid', 'outside the days in scope',
        'outside the weeks in scope', 'unknown product', 'fuel', 'household of one day']) as outcome
)
select o.outcome, case o.outcome when 'kept' then k.lines
        when 'household of one day' then (select lines from judged where outcome = 'kept') - k.lines
        else coalesce(j.lines, 0) end as lines
from outcomes o cross join kept k left join judged j on j.outcome = o.outcome;

create table commodities as
select p.commodity, p.section, count(*) as products, coalesce(sum(s.lines), 0)::bigint as lines,
    coalesce(sum(s.sales), 0)::decimal(18, 2) as total_sales
from products p left join (
    select product_id, count(*) as lines, sum(sales_value) as sales from lines group by 1
) s on s.product_id = p.product_id
where p.commodity is not null
group by 1, 2;

create temp table merchandise as
select product_id, commodity, dense_rank() over (order by commodity)::integer as number
from products
where department not in ('CHARITABLE CONT', 'CNTRL/STORE SUP', 'COUP/STR & MFG', 'GM MERCH EXP',
        'KIOSK-GAS', 'MISC SALES TRAN', 'MISC. TRANS.', 'PHARMACY SUPPLY', 'POSTAL CENTER', 'RX',
        'VIDEO RENTAL')
    and commodity not in ('(CORP USE ONLY)', 'COUPON', 'COUPON/MISC ITEMS', 'COUPONS/STORE & MFG',
        'DELI SUPPLIES', 'FUEL', 'MEAT SUPPLIES', 'MISCELLANEOUS(CORP USE ONLY)',
        'NO COMMODITY DESCRIPTION', 'PROD SUPPLIES', 'UNKNOWN')
    and sub_commodity is distinct from 'GASOLINE-REG UNLEADED';

create temp table held as
select distinct l.basket_id, m.number
from lines l join merchandise m on m.product_id = l.product_id;

create table commodity_associations as
with pairs as (
    select one.number as a, other.number as b, count(*) as baskets
    from held one join held other on one.basket_id = other.basket_id and one.number < other.number
    group by 1, 2
    having count(*) >= 10
), sizes as (
    select number, (select any_value(commodity) from merchandise m where m.number = held.number)
        as commodity, count(*) as baskets
    from held group by 1
), counted as (
    select s.commodity, t.commodity as associated_commodity, p.baskets,
        s.baskets as commodity_baskets, t.baskets as associated_baskets, n.all_baskets
    from (select a, b, baskets from pairs union all select b, a, baskets from pairs) p
    join sizes s on s.number = p.a join sizes t on t.number = p.b
    cross join (select count(distinct basket_id) as all_baskets from held) n
)
select *, baskets / all_baskets as support, baskets / commodity_baskets as confidence,
    baskets * all_baskets / (commodity_baskets * associated_baskets) as lift,
    (baskets * all_baskets - commodity_baskets * associated_baskets)
        / (all_baskets * all_baskets) as leverage,
    (all_baskets - associated_baskets) * commodity_baskets
        / nullif(all_baskets * (commodity_baskets - baskets), 0) as conviction
from counted;

create temp table baskets as
select household_key, basket_id, day, week_no, count(*) as lines, sum(quantity) as quantity,
    sum(sales_value) as sales_value
from lines group by all;

create table household_rfm as
with measured as (
    select household_key, min(day) as first_day, max(day) as last_day,
        count(distinct basket_id) as baskets, sum(sales_value)::decimal(18, 2) as total_sales,
        count(distinct basket_id) / (max(day) - min(day) + 1) as baskets_per_day
    from baskets group by 1
), bounds as (
    select quantile_cont(baskets_per_day, [0.2, 0.4, 0.6, 0.8]) as f,
        quantile_cont(ln(total_sales), [0.2, 0.4, 0.6, 0.8]) as m
    from measured
), scored as (
    select measured.*,
        1 + len(list_filter([525, 615, 675, 700], lambda x : last_day > x)) as r_score,
        1 + len(list_filter(f, lambda x : baskets_per_day > x)) as f_score,
        1 + len(list_filter(m, lambda x : ln(total_sales) > x)) as m_score
    from measured, bounds
)
select *, r_score + f_score + m_score as rfm_score,
    1 + len(list_filter([5, 8, 12, 14], lambda x : r_score + f_score + m_score > x)) as rfm_bins,
    household_key in (select household_key from {landing}/hh_demographic)
        as has_demographics
from scored;

create table daily_hh_spend as
select l.day, l.household_key,
    {section_sums},
    sum(sales_value)::decimal(18, 2) as total_sales
from lines l join products p on l.product_id = p.product_id
group by 1, 2;

create table hh_summary as
select row_number() over (order by r.household_key) - 1 as index, r.household_key,
    d.age_desc in ('45-54', '55-64', '65+') as age_45_plus,
    d.income_desc in ('50-74K', '75-99K', '100-124K', '125-149K', '150-174K', '175-199K',
        '200-249K', '250K+') as "income_50K_plus",
    least(d.household_size_desc[1]::integer, 3) as single_couple_family,
    d.hh_comp_desc in ('1 Adult Kids', '2 Adults Kids')
        or d.household_size_desc in ('3', '4', '5+') as has_kids,
    d.hh_comp_desc in ('Single Female', 'Single Male') or d.household_size_desc = '1' as single,
    d.hh_comp_desc = '2 Adults No Kids' as couple,
    r.r_score, r.f_score, r.m_score, r.rfm_score, r.rfm_bins,
    s.* exclude (household_key)
from household_rfm r
join {landing}/hh_demographic d on r.household_key = d.household_key
join (select household_key, sum(columns(* exclude (day, household_key))) from daily_hh_spend group by 1) s
    on s.household_key = r.household_key;

create table household_weekly_sales as
select household_key, week_no, count(distinct basket_id) as baskets, sum(lines) as lines,
    sum(quantity) as quantity, sum(sales_value)::decimal(18, 2) as total_sales
from baskets group by 1, 2;

create temp table campaign_products as
select distinct campaign, product_id from {landing}/coupon;

create table daily_campaign_sales as
select l.day, c.campaign, sum(l.lines) as lines, sum(l.quantity) as quantity,
    sum(l.sales_value)::decimal(18, 2) as total_sales
from (
    select day, product_id, count(*) as lines, sum(quantity) as quantity,
        sum(sales_value) as sales_value
    from lines group by 1, 2
) l join campaign_products c on l.product_id = c.product_id
group by 1, 2;

create table campaign_summary as
with days as (
    select min(day) as first_data_day, max(day) as last_data_day from baskets
), clipped as (
    select *, greatest(start_day, first_data_day) as first_day,
        least(end_day, last_data_day) as last_day, last_day - first_day + 1 as duration_days,
        least(duration_days, first_day - first_data_day) as days_before,
        least(duration_days, last_data_day - last_day) as days_after
    from {landing}/campaign_desc, days
    where start_day <= last_data_day and end_day >= first_data_day
)
select c.campaign, c.description as campaign_type, c.start_day, c.end_day, k.first_day, k.last_day,
    coalesce(k.duration_days, 0) as duration_days, coalesce(k.days_before, 0) as days_before,
    coalesce(k.days_after, 0) as days_after,
    (select count(*) from campaign_products p where p.campaign = c.campaign) as products,
    coalesce(sum(s.total_sales) filter (s.day between k.first_day - k.days_before
        and k.first_day - 1), 0)::decimal(18, 2) as sales_before,
    coalesce(sum(s.total_sales) filter (s.day between k.first_day and k.last_day), 0)
        ::decimal(18, 2) as sales_during,
    coalesce(sum(s.total_sales) filter (s.day between k.last_day + 1
        and k.last_day + k.days_after), 0)::decimal(18, 2) as sales_after,
    (select count(distinct household_key) from {landing}/campaign_table t
        where t.campaign = c.campaign) as households_targeted,
    (select count(distinct household_key) from {landing}/coupon_redempt r
        where r.campaign = c.campaign) as households_redeeming,
    (select count(*) from {landing}/coupon_redempt r
        where r.campaign = c.campaign) as redemptions
from {landing}/campaign_desc c
left join clipped k on k.campaign = c.campaign
left join daily_campaign_sales s on s.campaign = c.campaign
group by all;

create table campaign_response as
with targeted as (
    select distinct campaign, household_key from {landing}/campaign_table
), redeemed as (
    select campaign, household_key, count(*) as redemptions,
        count(distinct coupon_upc) as coupons_redeemed, min(day) as first_redemption_day
    from {landing}/coupon_redempt group by 1, 2
)
select household_key, campaign, c.description as campaign_type, c.start_day, c.end_day,
    coalesce(r.redemptions, 0) as redemptions, coalesce(r.coupons_redeemed, 0) as coupons_redeemed,
    r.first_redemption_day, r.first_redemption_day - c.start_day as days_to_redeem,
    t.campaign is not null as is_targeted, r.campaign is not null as has_redeemed
from targeted t full join redeemed r using (campaign, household_key)
join {landing}/campaign_desc c using (campaign);

create table promotion_effect as
with sold as (
    select product_id, store_id, week_no, sum(quantity) as units, sum(sales_value) as sales
    from lines group by 1, 2, 3
), promoted as (
    select product_id, store_id,
        bit_or(case when display <> '0' then 1::hugeint << week_no else 0 end) as display,
        bit_or(case when mailer <> '0' then 1::hugeint << week_no else 0 end) as mailer,
        bit_or(1::hugeint << week_no) as covered
    from {landing}/causal_data group by 1, 2
), weeks as (
    select bit_or(covered) & (select bit_or(1::hugeint << week_no) from baskets) as covered
    from promoted
), pairs as (
    select product_id, store_id, sum(units) as units, sum(sales) as sales,
        sum(units) filter ((display >> week_no) & 1 = 1) as display_units,
        sum(sales) filter ((display >> week_no) & 1 = 1) as display_sales,
        sum(units) filter ((mailer >> week_no) & 1 = 1) as mailer_units,
        sum(sales) filter ((mailer >> week_no) & 1 = 1) as mailer_sales
    from sold join promoted using (product_id, store_id), weeks
    where (weeks.covered >> week_no) & 1 = 1
    group by 1, 2
), kinds as (
    select commodity, bit_count(display & covered) as display_weeks,
        bit_count(mailer & covered) as mailer_weeks, bit_count(covered) as all_weeks, s.*
    from (select p.product_id, p.store_id, p.display, p.mailer, w.covered from promoted p, weeks w) k
    left join pairs s on s.product_id = k.product_id and s.store_id = k.store_id
    left join products p on p.product_id = k.product_id
), effects as (
    select coalesce(commodity, 'unknown') as commodity, 'display' as support,
        sum(display_weeks) as weeks_with, coalesce(sum(display_units), 0) as units_with,
        coalesce(sum(display_sales), 0) as sales_with,
        sum(all_weeks - display_weeks) as weeks_without,
        coalesce(sum(units), 0) - units_with as units_without,
        coalesce(sum(sales), 0) - sales_with as sales_without
    from kinds where display_weeks > 0 group by 1
    union all
    select coalesce(commodity, 'unknown'), 'mailer', sum(mailer_weeks),
        coalesce(sum(mailer_units), 0) as units_with, coalesce(sum(mailer_sales), 0) as sales_with,
        sum(all_weeks - mailer_weeks), coalesce(sum(units), 0) - units_with,
        coalesce(sum(sales), 0) - sales_with
    from kinds where mailer_weeks > 0 group by 1
)
select *, (units_with / weeks_with) / nullif(units_without / weeks_without, 0) as units_ratio,
    (sales_with / weeks_with) / nullif(sales_without / weeks_without, 0) as sales_ratio
from effects;
