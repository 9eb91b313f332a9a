with
    source as (select * from {{ raw("customer", "customer_accounts") }}),

    final as (

        select
            cast(account_number as bigint) as account_number,
            account_status,
            cast(sign_up_date as date) as sign_up_date,
            cast(churn_date as date) as churn_date,
            cast(first_service_live_date as date) as first_service_live_date,
            cast(end_of_onboarding_period as date) as end_of_onboarding_period,
            sign_up_source,
            property_occupier_status_at_sign_up,
            referral_type,
            referral_type_code,
            cast(referrers_account_number as bigint) as referrers_account_number
        from source

    )

select *
from final
