//! Plans that once broke a rule, as data. Each is the shortest that did; `sim replay` and `sim story` take the same files.

use sim::plan::Plan;
use sim::run::execute;

fn finds_nothing(text: &str) {
    let plan: Plan = serde_json::from_str(text).expect("a plan");
    plan.check().expect("a plan that can be run");
    let (report, _) = execute(&plan, false);
    assert_eq!(report.finding, None);
}

/// A test for each file of `plans/`.
macro_rules! plans {
    ($($name:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            finds_nothing(include_str!(concat!("plans/", stringify!($name), ".json")));
        }
    )*

        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

plans! {
    a_seen_state_that_a_full_disk_refused_is_sent_again,
    mail_that_comes_while_its_user_goes_is_deleted_with_him,
    an_inbox_that_gave_way_is_no_end_of_its_user,
    a_change_does_not_lose_to_a_compare_with_a_third_server,
    // [CS-MASTER-73]
    a_change_does_not_lose_to_mail_that_only_came_over,
    a_copy_is_known_again_when_mail_came_to_its_uid,
    a_mailbox_does_not_come_back_to_a_user_who_goes,
    a_mailbox_made_anew_has_what_its_master_has,
    a_mailbox_moved_to_another_partition_is_not_left_on_the_one_before,
    a_mailbox_sent_down_a_chain_again_raises_its_uidvalidity_once,
    a_mailbox_made_anew_is_not_deleted_for_the_one_before,
    a_mailbox_that_a_restored_master_sends_again_names_no_uid_twice,
    // [CS-MASTER-74]
    a_mailbox_that_moved_before_its_first_update_came_is_where_it_belongs,
    a_message_that_comes_back_with_its_mailbox_has_the_flags_of_its_master,
    a_raised_uidvalidity_comes_back_up_a_chain,
    a_replica_from_a_backup_loses_who_has_gone_again,
    a_reservation_whose_message_went_is_made_anew,
    a_revival_that_was_interrupted_goes_on,
    a_run_by_hand_brings_no_mailbox_back_that_is_gone,
    a_run_by_hand_leaves_what_came_back_meanwhile,
    a_run_by_hand_takes_no_server_annotation_away_that_is_new,
    a_run_by_hand_tells_no_end_of_a_subscription_that_is_back,
    a_run_by_hand_tells_no_subscription_that_has_changed_meanwhile,
    a_run_by_hand_that_failed_is_run_again,
    a_script_that_came_before_the_inbox_goes_down_a_chain,
    // [CS-LOG-43]
    a_script_that_went_before_its_user_goes_down_a_chain,
    a_server_annotation_is_told_again_when_the_replica_fails,
    a_subscription_of_a_user_whom_a_restored_master_does_not_know_stays,
    // [CS-SPLIT-17]
    a_step_that_failed_leaves_no_hole,
    a_user_made_anew_meanwhile_has_no_script_of_the_former_one,
    a_user_made_anew_meanwhile_has_no_quota_of_the_former_one,
    a_user_who_is_made_anew_while_he_is_removed_keeps_his_mail,
    a_user_whose_inbox_is_replaced_is_passed_by,
    an_annotation_that_both_made_alike_comes_out_equal,
    deleted_and_sent_again_twice,
    deleted_sent_again_empty_and_deleted_again_it_names_no_uid_twice,
    renamed_there_and_back_while_it_is_looked_at,
    deleted_and_sent_again_with_other_mail,
    deleted_and_sent_again_without_its_mail,
    flagged_and_deleted,
    made_and_deleted_with_a_third_server,
    made_and_deleted_within_a_round_trip,
    made_anew_under_a_higher_uidvalidity_it_keeps_that,
    mail_for_a_mailbox_that_goes_to_and_fro,
    // [CS-SPLIT-44]
    mail_that_comes_between_a_look_and_unmailbox_is_looked_at,
    // [CS-SPLIT-35]
    messages_whose_crcs_cancel_each_other_out_are_not_missed,
    names_swapped_by_hand_and_by_the_log_at_once,
    renamed_and_deleted,
    renamed_to_a_name_that_the_other_made,
    settled_by_both_at_different_seconds,
    two_copies_of_one_message_look_like_two_of_another_to_the_crcs,
    // [CS-SPLIT-45]
    two_inboxes_join_each_other,
    two_inboxes_join_each_other_by_hand,
    two_inboxes_join_each_other_over_a_long_way,
    two_names_that_a_run_by_hand_swaps_as_well,
    // [CS-SPLIT-47]
    two_names_that_both_tell_in_step_are_not_swapped_for_ever,
    two_names_that_were_swapped_are_not_swapped_for_ever,
    two_messages_in_two_orders_look_alike_to_the_crcs,
    // [CS-SPLIT-31]
    what_both_moved_to_one_uid_is_not_there_twice,
    what_both_settle_in_step_is_settled_by_one,
    what_both_settled_but_for_two_is_seen,
    // [CS-SPLIT-63]
    what_both_settled_by_turns_is_compared_again,
    // [CS-SPLIT-46]
    what_a_replica_from_a_backup_lost_of_a_user_without_inbox_stays_lost,
    what_both_settled_does_not_hide_from_the_crcs,
    what_was_settled_in_a_row_does_not_hide_from_the_crcs,
    what_a_departed_user_left_goes_with_the_next_run,
    // [CS-MASTER-72]
    what_a_masters_expunge_took_goes_down_a_chain_without_a_modseq,
    what_a_removed_user_left_down_a_chain_is_not_the_next_ones,
    what_a_removed_user_left_is_not_the_next_ones,
    what_gave_way_goes_down_a_chain_when_its_name_is_deleted,
    what_gave_way_goes_down_a_chain_when_its_name_is_renamed,
    what_is_settled_by_both_in_part_does_not_hide_from_the_crcs,
    what_gave_way_goes_where_it_has_an_older_name,
    what_gave_way_to_a_rename_goes_where_it_has_an_older_name,
    // [CS-MASTER-70]
    what_a_dead_master_had_sent_is_found_by_the_next_run,
    what_is_settled_further_down_is_seen_from_above,
    what_is_settled_down_a_chain_gets_no_modseq_without_need,
    what_lies_between_what_both_settled_is_seen,
    what_was_deleted_before_a_mailbox_came_back_does_not_come_from_another_replica,
    // [CS-SPLIT-31]
    what_moved_is_not_lost_with_the_store_of_its_master,
    what_was_changed_of_a_copy_goes_back_to_its_original,
    what_was_changed_while_its_copy_waited_goes_over_to_the_copy,
    three_modseqs_of_two_masters_may_hide,
    two_modseqs_of_two_masters_hide_when_the_third_changes,
    a_note_that_was_written_twice_is_on_its_way_twice,
    twins_of_which_one_got_mail_meanwhile,
    what_was_changed_after_it_was_copied_goes_over_to_the_copy,
    what_was_kept_goes_with_the_store_of_a_replica,
    who_has_gone_goes_down_a_chain_with_all_data,
    who_is_gone_and_has_a_mailbox_that_the_master_does_not_know_keeps_what_is_his,
}

#[test]
fn every_file_has_its_test() {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/plans")).expect("the folder");
    for file in files {
        let name = file.expect("an entry").file_name().into_string().expect("ASCII");
        let name = name.strip_suffix(".json").expect("plans only");
        assert!(NAMES.contains(&name), "{name} is run by no test");
    }
}
