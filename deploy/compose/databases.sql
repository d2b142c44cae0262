-- Run once, when PostgreSQL makes its data folder: the shop's role, and a database for each of its services.
\set password `cat /run/passwords/shop`
CREATE ROLE shop LOGIN PASSWORD :'password';
CREATE DATABASE shop_orders OWNER shop;
CREATE DATABASE shop_billing OWNER shop;
