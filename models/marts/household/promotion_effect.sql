with
    product_stores as (select * from {{ ref("int_product_stores_compared") }}),

    products as (select * from {{ ref("stg_complete_journey__products") }}),

    -- Per kind of support, only products and stores that had it at some time count.
    commodities as (

        select
            coalesce(products.commodity, 'unknown') as commodity,
            {% for support in ["display", "mailer"] -%}
                {%- set had_it = (
                    "case when product_stores." ~ support ~ "_weeks > 0 then"
                ) %}
                sum(product_stores.{{ support }}_weeks) as {{ support }}_weeks,
                sum(product_stores.{{ support }}_units) as {{ support }}_units,
                sum(product_stores.{{ support }}_sales) as {{ support }}_sales,
                sum(
                    {{ had_it }} product_stores.covered_weeks end
                ) as {{ support }}_all_weeks,
                sum({{ had_it }} product_stores.units end) as {{ support }}_all_units,
                sum({{ had_it }} product_stores.sales end) as {{ support }}_all_sales
                {%- if not loop.last %},{% endif %}
            {% endfor %}
        from product_stores
        left join products on product_stores.product_id = products.product_id
        group by 1

    ),

    effects as (

        {% for support in ["display", "mailer"] %}
            select
                commodity,
                '{{ support }}' as support,
                {{ support }}_weeks as weeks_with,
                {{ support }}_units as units_with,
                {{ support }}_sales as sales_with,
                {{ support }}_all_weeks - {{ support }}_weeks as weeks_without,
                {{ support }}_all_units - {{ support }}_units as units_without,
                {{ support }}_all_sales - {{ support }}_sales as sales_without
            from commodities
            where {{ support }}_weeks > 0
            {% if not loop.last %}
                union all
            {% endif %}
        {% endfor %}

    ),

    rated as (

        select
            *,
            {{ divide("units_with", "weeks_with") }} as units_per_week_with,
            {{ divide("units_without", "weeks_without") }} as units_per_week_without,
            {{ divide("sales_with", "weeks_with") }} as sales_per_week_with,
            {{ divide("sales_without", "weeks_without") }} as sales_per_week_without
        from effects

    ),

    final as (

        select
            commodity,
            support,
            cast(weeks_with as bigint) as product_store_weeks_with,
            cast(units_with as bigint) as units_with,
            cast(sales_with as decimal(18, 2)) as sales_with,
            cast(weeks_without as bigint) as product_store_weeks_without,
            cast(units_without as bigint) as units_without,
            cast(sales_without as decimal(18, 2)) as sales_without,
            {{ divide("units_per_week_with", "units_per_week_without") }}
            as units_ratio,
            {{ divide("sales_per_week_with", "sales_per_week_without") }} as sales_ratio
        from rated

    )

select *
from final
