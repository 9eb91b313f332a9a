with
    accounts as (select * from {{ ref("int_accounts_served") }}),

    final as (

        select
            account_number,
            account_status,
            sign_up_date,
            churn_date,
            first_service_live_date,
            end_of_onboarding_period,
            sign_up_source,
            property_occupier_status_at_sign_up,
            referral_type,
            referral_type_code,
            referrers_account_number
        from accounts

    )

select *
from final
