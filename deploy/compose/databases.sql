-- Run once, when PostgreSQL makes its data folder: the shop's owner, a user for each process, a database for each service.
-- Only a superuser may do this. What txbox's roles may do, their owner says later: txbox db roles --apply.
CREATE ROLE txbox_writer NOLOGIN;
CREATE ROLE txbox_relay NOLOGIN;
CREATE ROLE txbox_consumer NOLOGIN;
CREATE ROLE txbox_viewer NOLOGIN;

\set shop `cat /run/passwords/shop`
\set shop_orders `cat /run/passwords/shop_orders`
\set shop_relay `cat /run/passwords/shop_relay`
\set shop_billing `cat /run/passwords/shop_billing`
CREATE ROLE shop LOGIN PASSWORD :'shop';
CREATE ROLE shop_orders LOGIN PASSWORD :'shop_orders' IN ROLE txbox_writer;
CREATE ROLE shop_relay LOGIN PASSWORD :'shop_relay' IN ROLE txbox_relay;
CREATE ROLE shop_billing LOGIN PASSWORD :'shop_billing' IN ROLE txbox_consumer;

CREATE DATABASE shop_orders OWNER shop;
CREATE DATABASE shop_billing OWNER shop;
