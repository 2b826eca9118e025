//! The binary against a whole cluster: one distributor and three storage nodes, on SQLite, and where a
//! story asks the database for more than single rows, once on PostgreSQL, too.

mod bed;
mod cutter;
mod health;
mod rough;
mod services;
mod stories;
mod troubles;

use bed::Bed;

/// A test of each story on each database.
macro_rules! on_both_databases {
    ($($module:ident :: $story:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[test] fn $story() { crate::$module::$story(&mut crate::Bed::on_sqlite()); })+
        }
        mod on_postgres {
            $(#[test] fn $story() { crate::$module::$story(&mut crate::Bed::on_postgres()); })+
        }
    };
}

on_both_databases! {
    stories::a_content_lives_and_dies,
    stories::folders_come_back_as_they_went,
    stories::odd_names_are_kept_and_made_safe,
    stories::listings_are_filtered_and_paged,
    stories::nodes_and_statistics_tell_of_the_cluster,
    stories::a_node_is_drained_before_it_is_removed,
    stories::benchmarks_measure_without_errors,
    health::a_content_is_explained_with_all_its_copies,
    troubles::a_node_that_stops_is_gone_around,
    troubles::a_restarted_cluster_has_everything,
}

/// A test of each story that the client and the nodes have between them, whatever the database.
macro_rules! on_any_database {
    ($($module:ident :: $story:ident),+ $(,)?) => {
        mod on_any_database {
            $(#[test] fn $story() { crate::$module::$story(&mut crate::Bed::on_sqlite()); })+
        }
    };
}

on_any_database! {
    stories::large_contents_and_streams_keep_every_byte,
    stories::conditions_guard_updates_and_deletes,
    stories::the_log_tells_what_was_done,
    stories::copies_are_verified,
    stories::failures_have_their_exit_codes,
    health::the_doctor_finds_what_is_wrong_and_nothing_else,
    health::records_that_nobody_has_are_given_up,
    health::a_content_is_explained_while_a_node_is_down,
    troubles::an_interrupted_get_is_resumed,
    troubles::a_download_outlives_its_node_s_restart,
    troubles::an_upload_outlives_its_node_s_restart,
}

/// A test of each story with services of its own.
macro_rules! on_rough_connections {
    ($name:ident, $database:ident, $($story:ident),+ $(,)?) => {
        mod $name {
            $(#[test] fn $story() { crate::rough::$story(crate::services::Database::$database); })+
        }
    };
}

on_rough_connections! {
    rough_on_sqlite,
    Sqlite,
    connections_that_break_lose_and_double_nothing,
    a_large_download_is_put_together_from_many_connections,
    keys_open_what_they_should,
}

// The other two ask the database for nothing but single rows.
on_rough_connections! {
    rough_on_postgres,
    Postgres,
    connections_that_break_lose_and_double_nothing,
}

/// What only a database server can do: go away and come back.
mod catalog_away {
    // If this fails, uploads stop with the database, or are never listed.
    #[test]
    fn uploads_and_reads_go_on_without_the_catalog() {
        crate::troubles::uploads_and_reads_go_on_without_the_catalog();
    }
}
