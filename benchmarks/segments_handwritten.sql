-- The segments of households as one would write them by hand for DuckDB, after
-- household_handwritten.sql and from its tables. {grid} and {segments} stand for the reference
-- files of segments. The history, the largest, has the primary key that the mart promises.

create table household_segment_history (
    household_key bigint, period_end integer, period_end_date date, segment text,
    previous_segment text, since_day integer, since_date date, r_score integer, f_score integer,
    m_score integer, last_day integer, last_date date, baskets bigint, baskets_per_day double,
    total_sales decimal(18, 2), primary key (household_key, period_end)
);

insert into household_segment_history
with periods as (
    select unnest(generate_series(708, 148, -28))::integer as period_end
), summed as (
    select household_key, greatest(708 - 28 * ((708 - day) // 28), 148) as period_end,
        min(day) as first_day, max(day) as last_day, count(*) as baskets,
        sum(sales_value) as sales
    from baskets group by all
), starts as (
    select household_key, min(period_end) as start from summed group by 1
), cumulated as (
    select household_key, period_end, min(first_day) over up_to as first_day,
        max(last_day) over up_to as last_day, (sum(baskets) over up_to)::bigint as baskets,
        (sum(sales) over up_to)::decimal(18, 2) as total_sales
    from starts join periods on period_end >= start left join summed using (household_key, period_end)
    window up_to as (partition by household_key order by period_end)
), measured as (
    select *, baskets / (last_day - first_day + 1) as baskets_per_day, ln(total_sales) as log_sales
    from cumulated where first_day < last_day
), bounds as (
    select period_end, quantile_cont(baskets_per_day, [0.2, 0.4, 0.6, 0.8]) as f,
        quantile_cont(log_sales, [0.2, 0.4, 0.6, 0.8]) as m
    from measured group by 1
), scored as (
    select measured.*,
        5 - len(list_filter([183, 93, 33, 8], lambda x : period_end - last_day >= x)) as r_score,
        1 + len(list_filter(f, lambda x : baskets_per_day > x)) as f_score,
        1 + len(list_filter(m, lambda x : log_sales > x)) as m_score
    from measured join bounds using (period_end)
), named as (
    select scored.*, segment, lag(segment) over (
        partition by household_key order by period_end
    ) as previous_segment
    from scored join {grid} grid using (r_score, f_score, m_score)
), dated as (
    select *, max(case when previous_segment is distinct from segment then period_end end) over (
        partition by household_key order by period_end
    ) as since_day
    from named
)
select household_key, period_end, date '2004-03-22' + period_end as period_end_date, segment,
    previous_segment, since_day, date '2004-03-22' + since_day as since_date, r_score, f_score,
    m_score, last_day, date '2004-03-22' + last_day as last_date, baskets, baskets_per_day, total_sales
from dated;

create table household_segments as
select household_key, segment, since_day, since_date, r_score, f_score, m_score, last_day,
    last_date, 708 - last_day as days_since_visit, baskets_per_day, total_sales,
    'last visit ' || case 708 - last_day when 0 then 'on the last day'
        when 1 then '1 day before the end' else 708 - last_day || ' days before the end' end
    || ', ' || case f_score when 1 then 'among the 20 % of households that shop least often'
        else 'more often than ' || 20 * (f_score - 1) || ' % of households' end
    || ', sales in the '
    || ['lowest', 'second-lowest', 'middle', 'second-highest', 'highest'][m_score]
    || ' fifth' as why
from household_segment_history where period_end = 708;

create table segment_sizes as
with periods as (
    select period_end, period_end_date, count(*) as households, sum(total_sales) as total_sales
    from household_segment_history group by all
), counted as (
    select period_end, segment, count(*) as households, sum(total_sales) as total_sales
    from household_segment_history group by all
)
select p.period_end, p.period_end_date, position, segment, meaning,
    coalesce(c.households, 0) as households, coalesce(c.households, 0) / p.households as share,
    coalesce(c.total_sales, 0)::decimal(18, 2) as total_sales,
    coalesce(c.total_sales, 0)::double / p.total_sales::double as sales_share,
    p.period_end = 708 as is_latest
from periods p cross join {segments} s left join counted c using (period_end, segment);

create table segment_moves as
select period_end, period_end_date, coalesce(previous_segment, 'none') as from_segment,
    segment as to_segment, count(*) as households,
    sum(total_sales)::decimal(18, 2) as total_sales
from household_segment_history where period_end > 148 group by all;

create table segment_cells as
with totals as (
    select count(*) as households, sum(total_sales) as sales from household_segments
), counted as (
    select r_score, f_score, count(*) as households, sum(total_sales) as sales
    from household_segments group by all
)
select r_score, f_score, coalesce(c.households, 0) as households,
    coalesce(c.households, 0) / t.households as share,
    coalesce(c.sales, 0)::decimal(18, 2) as total_sales,
    coalesce(c.sales, 0)::double / t.sales::double as sales_share
from (select distinct r_score, f_score from {grid}) cross join totals t
left join counted c using (r_score, f_score);

create table campaign_segments as
with targeted as (
    select household_key, campaign, start_day, has_redeemed from campaign_response where is_targeted
), bought as (
    select t.campaign, t.household_key,
        sum(l.sales_value) filter (l.day < c.first_day) as sales_before,
        sum(l.sales_value) filter (l.day between c.first_day and c.last_day) as sales_during,
        sum(l.sales_value) filter (l.day > c.last_day) as sales_after
    from targeted t join campaign_summary c on c.campaign = t.campaign
    join lines l on l.household_key = t.household_key
        and l.day between c.first_day - c.days_before and c.last_day + c.days_after
    join campaign_products p on p.campaign = t.campaign and p.product_id = l.product_id
    group by 1, 2
), segmented as (
    select t.campaign, t.household_key, t.has_redeemed, arg_max(h.segment, h.period_end) as segment
    from targeted t left join household_segment_history h
        on h.household_key = t.household_key and h.period_end < t.start_day
    group by 1, 2, 3
), counted as (
    select campaign, coalesce(segment, 'none') as segment, count(*) as households_targeted,
        count(*) filter (has_redeemed) as households_redeeming,
        sum(coalesce(sales_before, 0))::decimal(18, 2) as sales_before,
        sum(coalesce(sales_during, 0))::decimal(18, 2) as sales_during,
        sum(coalesce(sales_after, 0))::decimal(18, 2) as sales_after,
        round(sum(coalesce(sales_before, 0)) / count(*), 2)::decimal(18, 2) as mean_sales_before,
        round(sum(coalesce(sales_during, 0)) / count(*), 2)::decimal(18, 2) as mean_sales_during,
        round(sum(coalesce(sales_after, 0)) / count(*), 2)::decimal(18, 2) as mean_sales_after
    from segmented left join bought using (campaign, household_key) group by 1, 2
)
select campaign, coalesce(s.position, (select max(position) + 1 from {segments})) as position,
    c.* exclude (campaign), households_redeeming / households_targeted as redemption_rate
from counted c left join {segments} s using (segment);
